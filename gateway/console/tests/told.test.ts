import { expect, test } from "vitest"
import { told } from "../src/console/told"
import { zh } from "../src/zh"

const table: Readonly<Record<string, string>> = zh
const words = (key: string, fallback: string): string => table[key] ?? fallback

test.each([
  ["delivery_advanced", "开云镇: relayed", "开云镇: 中转"],
  ["directive_issued", "P1 转移群众 (2)", "特急 转移群众 (2)"],
  ["alarm_advanced", "on_site 已到 P1 号堤", "已到场 已到 P1 号堤"],
  ["alarm_raised", "P0 flood: 八里村委会", "特提 汛情: 八里村委会"],
  ["alarm_raised", "P1 water_level: 八里村委会", "特急 water_level: 八里村委会"],
  ["audit_read", "例行检查 P1 signed", "例行检查 P1 signed"],
])("a line of kind %s", (kind, text, said) => {
  expect(told({ kind, text }, words)).toBe(said)
})
