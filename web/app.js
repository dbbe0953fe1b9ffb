// What pages do where scripts run; everything works without. Nothing here makes markup of text: parts of a page are
// replaced by what the server rendered.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/* Copy buttons: without a script the field can be selected. */

for (const button of all("button[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  if (!field) continue;
  const label = button.textContent;
  const select = () => field.select ? field.select() : getSelection().selectAllChildren(field);
  button.hidden = false;
  field.addEventListener("focus", select);
  button.addEventListener("click", async () => {
    let done = false;
    try {
      await navigator.clipboard.writeText(field.value ?? field.textContent);
      done = true;
    } catch {
      field.focus();
      select();
    }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

/* Live parts: [data-live] elements are read again when what the page follows has moved. */

const main = document.getElementById("main");
const topic = main?.dataset.topic;
const parts = () => all("[data-live]").filter((part) => part.id);
let reading = false;
let again = false;

// refresh reads the page again and replaces its live parts; calls while it reads are one more reading.
async function refresh() {
  if (reading) { again = true; return; }
  reading = true;
  let read = false;
  try {
    const answer = await fetch(location.href, { redirect: "error", headers: { Accept: "text/html", "Tributary-By-Itself": "yes" } });
    read = answer.status < 500;
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts()) {
      const now = page.getElementById(part.id);
      // What somebody is writing into, or has opened, stays as it is.
      if (!now || part.contains(document.activeElement) && part !== document.activeElement) continue;
      const open = all("details", part).map((d) => d.open);
      all("details", now).forEach((d, i) => { if (open[i]) d.open = true; });
      if (part.innerHTML !== now.innerHTML) part.replaceWith(document.adoptNode(now));
    }
  } catch {
    // The server may be restarting.
  } finally {
    // What could not be read is read later: nothing might tell of it again.
    setTimeout(() => {
      reading = false;
      if (again || !read) { again = false; refresh(); }
    }, read ? 1000 : 5000);
  }
}

// follow listens while the page is visible: a browser opens few connections to a server, and hidden pages need none.
function follow() {
  let stream = null;
  let timer = 0;
  const stop = () => { stream?.close(); stream = null; clearInterval(timer); timer = 0; };
  const start = () => {
    if (document.hidden || stream || timer) return;
    stream = new EventSource(`/live?topic=${encodeURIComponent(topic)}`);
    stream.addEventListener("moved", refresh);
    stream.addEventListener("over", () => { stop(); location.reload(); });
    stream.addEventListener("error", () => {
      if (stream?.readyState !== EventSource.CLOSED) return; // it tries again by itself
      stop();
      timer = setInterval(refresh, 10000);
    });
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); else start(); });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", start);
  start();
}

// ask is for what no event tells of.
function ask() {
  const timer = setInterval(() => {
    if (!parts().length) clearInterval(timer);
    else if (!document.hidden) refresh();
  }, 5000);
}

if (topic && parts().length) {
  for (const link of all("[data-unlive]")) link.hidden = true;
  if (topic === "clock") ask(); else follow();
}

/* Forms: what is wrong is said beside its field, as soon as the field is left. */

for (const field of all("form :is(input, select, textarea):not([type=hidden])")) {
  const say = () => {
    const box = field.closest(".field");
    if (!box) return;
    let line = box.querySelector(".wrong");
    if (field.validity.valid) {
      line?.remove();
      field.removeAttribute("aria-invalid");
      return;
    }
    if (!line) {
      line = document.createElement("p");
      line.className = "wrong";
      line.setAttribute("role", "alert");
      box.append(line);
    }
    line.textContent = field.validationMessage;
    field.setAttribute("aria-invalid", "true");
  };
  field.addEventListener("blur", () => { if (field.value !== "") say(); });
  field.addEventListener("invalid", say);
  field.addEventListener("input", () => { if (field.hasAttribute("aria-invalid")) say(); });
}

/* Keys: "/" to search or filter, "g" and a letter to go to a page of the menu, "?" says which. */

const places = new Map(all("#menu a[href^='/']").filter((a) => a.dataset.key).map((a) => [a.dataset.key, a]));
let going = 0;

addEventListener("keydown", (event) => {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || at.isContentEditable || /^(input|select|textarea)$/i.test(at.tagName)) return;
  if (going && Date.now() - going < 1500 && places.has(event.key)) {
    going = 0;
    event.preventDefault();
    places.get(event.key).click();
    return;
  }
  going = event.key === "g" ? Date.now() : 0;
  if (event.key === "/") {
    const field = document.querySelector("main input[type=search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  }
  if (event.key === "?") {
    const help = document.getElementById("keys");
    if (help && !help.matches(":popover-open")) help.showPopover();
  }
});
