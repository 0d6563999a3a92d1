// The page is whole without this. With it a claim under way moves by itself, and a code is copied.
const FIRST_MS = 1500;
const LAST_MS = 30000;
const SLOWER = 1.4;

// What was sent by a form is not sent again by going back or loading anew.
const place = document.querySelector("[data-place]")?.dataset.place;
if (place) {
  history.replaceState(null, "", place);
}

const live = document.querySelector("[data-live]");
const said = document.querySelector("[data-said]");
let last = live?.innerHTML.trim();
let wait = FIRST_MS;
let timer = 0;

function isFinal() {
  return live.querySelector("[data-final]") !== null;
}

function state() {
  return live.querySelector("[data-state]")?.dataset.state ?? "";
}

function plan() {
  clearTimeout(timer);
  if (!isFinal() && !document.hidden) {
    timer = setTimeout(look, wait);
    wait = Math.min(wait * SLOWER, LAST_MS);
  }
}

async function look() {
  try {
    const answer = await fetch(live.dataset.live, { headers: { Accept: "text/html" } });
    if (answer.status === 401) {
      location.reload(); // the session is over: its own view says so
      return;
    }
    if (answer.ok) {
      show(await answer.text());
    }
  } catch {
    // Offline or busy: ask again later.
  }
  plan();
}

function show(html) {
  const before = state();
  const fresh = document.createElement("div");
  fresh.innerHTML = html;
  if (fresh.innerHTML.trim() === last) {
    return;
  }
  last = fresh.innerHTML.trim();
  const focused = live.contains(document.activeElement) ? document.activeElement : null;
  const href = focused?.getAttribute("href");
  const copied = focused?.dataset.copy;
  live.replaceChildren(...fresh.childNodes);
  if (focused) {
    const same = href ? `a[href="${CSS.escape(href)}"]` : `[data-copy="${copied}"]`;
    const again = live.querySelector(same);
    (again ?? live.querySelector("a, button"))?.focus();
  }
  if (state() !== before) {
    wait = FIRST_MS;
    said.textContent = state();
    document.querySelector("#notice")?.remove();
  }
}

if (live && !isFinal()) {
  document.addEventListener("visibilitychange", () => {
    wait = FIRST_MS;
    if (document.hidden) {
      clearTimeout(timer);
    } else if (!isFinal()) {
      look();
    }
  });
  plan();
}

// Copying buttons are there only where they work; what is under way may be replaced at any time.
if (navigator.clipboard) {
  document.documentElement.classList.add("copies");
  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent);
      copy.textContent = copy.dataset.done;
      said.textContent = copy.dataset.done;
    }
  });
}
