import type { Credentials } from "../credentials"
export function openConsole(_root: HTMLElement, _credentials: Credentials): void {}
