"""The pages as hands and eyes use them: open one, fill in a directive, get one to the front, sign, lose an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.running import TOWNSHIP, VILLAGE, until

if TYPE_CHECKING:
    from tests.e2e.browser import Browsers
    from tests.e2e.running import Demo

UNSIGNED = """async () => {
  const { token } = JSON.parse(sessionStorage.getItem('wuji.credentials'));
  const answer = await fetch('/api/v1/directives', {headers: {Authorization: `Bearer ${token}`}});
  const aside = (sessionStorage.getItem('wuji.aside') ?? '').split(' ');
  const settled = ['signed', 'feedback', 'done'];
  return (await answer.json()).directives
    .filter((one) => one.state === 'issued' && one.mine && !settled.includes(one.mine.stage))
    .map((one) => one.directive ?? one.id)
    .filter((id) => !aside.includes(id));
}"""


def console(browsers: Browsers, demo: Demo, tier: str, role: str = "commander") -> Page:
    page = browsers.open(demo.link(tier, role))
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    return page


def terminal(browsers: Browsers, demo: Demo, tier: str, script: str = "") -> Page:
    """Open the terminal page of ``tier``; ``script`` runs in it first."""
    page = browsers.open(demo.link(tier, "terminal"), width=1024, height=700, script=script)
    page.get_by_test_id("enter-duty").click()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    return page


def tick(county: Page, *codes: str) -> None:
    """Tick exactly these places, without those below them."""
    county.get_by_test_id("places-clear").click()
    county.get_by_test_id("place-tree").locator("xpath=..").locator(".el-switch").click()
    for code, name in ((TOWNSHIP, "开云镇"), (VILLAGE, "八里村")):
        if code in codes:
            county.get_by_test_id("places-search").fill(name)
            county.get_by_test_id(f"scope-node-{code}").check()
    county.get_by_test_id("places-search").fill("")
    expect(county.get_by_test_id("places-picked")).to_contain_text(str(len(codes)))


def draft(county: Page, title: str, *, urgency: str = "P1") -> None:
    """Fill in the panel for whom is ticked."""
    county.get_by_test_id("issue-open").click()
    county.get_by_test_id(f"urgency-{urgency}").click()
    county.get_by_test_id("scope-tree").click()
    county.get_by_test_id("issue-title").fill(title)
    county.get_by_test_id("issue-text").fill("请立即办理")


def issue(county: Page, title: str, *codes: str) -> str:
    """Issue a directive to ``codes``; return its id."""
    tick(county, *codes)
    draft(county, title)
    county.get_by_test_id("issue").click()
    return issued(county, title)


def issued(county: Page, title: str) -> str:
    row = county.get_by_test_id("directive-row").filter(has_text=title)
    expect(row).to_be_visible()
    expect(county.get_by_test_id("issue-panel")).to_be_hidden()
    return str(row.get_attribute("data-directive"))


def front(terminal: Page, directive: str) -> Locator:
    """Return the overlay of ``directive``; whatever other tests left unsigned is set aside first."""
    overlay = terminal.get_by_test_id("directive-overlay")

    def in_front() -> bool:
        if overlay.count() == 0:
            return False
        if overlay.get_attribute("data-directive") == directive:
            return True
        overlay.get_by_test_id("directive-later").click()
        return False

    until(in_front, what="the directive never came to the front")
    return overlay


def sign(terminal: Page, directive: str, name: str) -> None:
    overlay = front(terminal, directive)
    overlay.get_by_test_id("sign-name").fill(name)
    overlay.get_by_test_id("directive-sign").click()
    expect(terminal.locator(f'[data-testid="directive-overlay"][data-directive="{directive}"]')).to_be_hidden()


def clear(terminal: Page) -> None:
    """Set aside whatever other tests left unsigned: the page is told of all of it in one breath."""
    overlay = terminal.get_by_test_id("directive-overlay")
    waiting = set(terminal.evaluate(UNSIGNED))
    while waiting:
        shown = overlay.get_attribute("data-directive")
        overlay.get_by_test_id("directive-later").click()
        expect(terminal.locator(f'[data-testid="directive-overlay"][data-directive="{shown}"]')).to_be_hidden()
        waiting.discard(shown)
    expect(overlay).to_be_hidden()


def tile(page: Page, part: str) -> str:
    """Return a selector of the picture whose participant's name contains ``part``."""
    return f'[data-testid="meeting-tile"][data-name*="{part}"]'


def lose_first_answer(page: Page, path: str) -> None:
    """Let the first POST to ``path`` reach the gateway and lose its answer on the way back."""
    seen: list[Route] = []

    def handle(route: Route) -> None:
        if route.request.method != "POST" or seen:
            route.continue_()
            return
        seen.append(route)
        assert route.fetch().status == 201
        route.abort()

    page.route(f"**/api/v1/{path}", handle)
