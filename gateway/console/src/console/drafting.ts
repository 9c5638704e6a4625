/** One directive on its way from this page: as it is kept at the gateway, saved, submitted or issued. */
import { computed, shallowRef, type ComputedRef, type ShallowRef } from "vue"
import type { IssueRequest } from "../api"
import { Press } from "../clickid"
import type { DraftView } from "../wire"
import { useDesk } from "./desk"

type Wanted = Omit<IssueRequest, "click_id">

export interface Drafting {
  /** The draft as it was read last; null while nothing is kept. */
  readonly base: ShallowRef<DraftView | null>
  /** What it has become elsewhere since then. */
  readonly newer: ComputedRef<DraftView | null>
  save(wanted: Wanted): Promise<DraftView>
  submit(wanted: Wanted): Promise<void>
  issue(wanted: Wanted): Promise<{ readonly id: string; readonly recipients: number }>
}

export function useDraft(opened: DraftView | null): Drafting {
  const desk = useDesk()
  const { api } = desk.station
  const press = new Press()
  const base = shallowRef(opened)
  const newer = computed(() => {
    const live = base.value === null ? undefined : desk.state.value.drafts.get(base.value.directive)
    return live !== undefined && base.value !== null && live.revision > base.value.revision ? live : null
  })

  /** A repeat after a lost answer is answered by the gateway as the first would have been. */
  async function save(wanted: Wanted): Promise<DraftView> {
    const { value: kept } = base
    const saved =
      kept === null
        ? await press.once(JSON.stringify(wanted), (click_id) => api.draft({ ...wanted, click_id }))
        : await api.editDraft(kept.directive, kept.revision, { ...wanted, click_id: kept.request.click_id })
    base.value = saved
    return saved
  }

  async function submit(wanted: Wanted): Promise<void> {
    const saved = await save(wanted)
    if (saved.state === "draft") await api.submitDraft(saved.directive, saved.revision)
  }

  async function issue(wanted: Wanted): Promise<{ id: string; recipients: number }> {
    if (base.value === null) return press.once(JSON.stringify(wanted), (click_id) => api.issue({ ...wanted, click_id }))
    return api.issueDraft((await save(wanted)).directive)
  }

  return { base, newer, save, submit, issue }
}
