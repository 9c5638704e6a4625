/** The sign-in page: a one-time code from the address, or name and password. */
import { html, nothing, render } from "lit-html"
import { ApiError, signIn, type Session } from "./api"
import { save, takeCode, type Credentials } from "./credentials"
import { explain, onLanguage, otherLanguage, t } from "./i18n"
import "./signin.css"

/** Draw into `root` until somebody is signed in. A code in the address is tried first. */
export function askToSignIn(root: HTMLElement): Promise<Credentials> {
  return new Promise((resolve) => {
    let busy = false
    let finished = false
    let error: unknown = null
    const attempt = async (proof: Parameters<typeof signIn>[0]): Promise<void> => {
      busy = true
      error = null
      draw()
      try {
        const credentials = credentialsOf(await signIn(proof))
        save(credentials)
        finished = true
        render(nothing, root)
        resolve(credentials)
      } catch (problem) {
        error = problem
        busy = false
        draw()
      }
    }
    const submit = (event: Event): void => {
      event.preventDefault()
      const form = new FormData(event.target as HTMLFormElement)
      void attempt({ name: String(form.get("name")), password: String(form.get("password")) })
    }
    const draw = (): void => {
      if (!finished) render(page(busy, error, submit), root)
    }
    onLanguage(draw)
    const code = takeCode()
    if (code === null) draw()
    else void attempt({ code })
  })
}

function page(busy: boolean, error: unknown, submit: (event: Event) => void) {
  return html`<main class="signin">
    <form @submit=${submit} data-testid="signin-form">
      <h1>${t("app.title")}</h1>
      <label>${t("signin.name")}<input name="name" autocomplete="username" required maxlength="64" data-testid="signin-name" /></label>
      <label
        >${t("signin.password")}<input
          name="password"
          type="password"
          autocomplete="current-password"
          required
          maxlength="256"
          data-testid="signin-password"
      /></label>
      ${error === null ? nothing : html`<p class="error" role="alert" data-testid="signin-error">${sentence(error)}</p>`}
      <button type="submit" ?disabled=${busy} data-testid="signin-submit">${busy ? t("signin.busy") : t("signin.submit")}</button>
      <p class="hint">${t("signin.hint")}</p>
      <button type="button" class="plain" @click=${otherLanguage} data-testid="language">${t("app.language")}</button>
    </form>
  </main>`
}

function sentence(error: unknown): string {
  return error instanceof ApiError && error.code === "timeout" ? t("error.unreachable") : explain(error)
}

function credentialsOf({ token, who, node_name, division_name, expires_at }: Session): Credentials {
  const at = typeof expires_at === "string" ? Date.parse(expires_at) : expires_at
  return { token, who, node_name, division_name, expires_at: at }
}
