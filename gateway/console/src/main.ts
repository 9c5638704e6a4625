/** First page of everybody: sign in, then the terminal page or the console, by role. */
import { load } from "./credentials"
import { language, setLanguage, t } from "./i18n"
import { askToSignIn } from "./signin"

async function main(): Promise<void> {
  setLanguage(language())
  document.title = t("app.title")
  const root = document.querySelector<HTMLElement>("#app")!
  const fresh = location.hash.includes("code=") // a new link wins over an old sign-in
  const credentials = (fresh ? null : load()) ?? (await askToSignIn(root))
  if (credentials.who.role === "terminal" || credentials.who.role === "device") {
    location.replace("/terminal.html")
    return
  }
  const { openConsole } = await import("./console/console")
  openConsole(root, credentials)
}

void main()
