/** One act of a component at a time: a second press meanwhile does nothing, and what goes wrong is said. */
import { ref, type Ref } from "vue"
import { useDesk } from "./desk"

export function useAct(): { readonly busy: Ref<boolean>; readonly act: (work: () => Promise<unknown>) => Promise<void> } {
  const desk = useDesk()
  const busy = ref(false)
  async function act(work: () => Promise<unknown>): Promise<void> {
    if (busy.value) return
    busy.value = true
    try {
      await work()
    } catch (error) {
      desk.complain(error)
    } finally {
      busy.value = false
    }
  }
  return { busy, act }
}
