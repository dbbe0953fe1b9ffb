"use strict";

// Copy buttons: shown where a script runs, and without one the field can be selected.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  if (!field) continue;
  button.hidden = false;
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", async () => {
    let done = false;
    try {
      await navigator.clipboard.writeText(field.value);
      done = true;
    } catch {
      field.focus();
      field.select();
    }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// Parts of a page that change while something runs: they are read again until nothing does, the page is hidden, or a
// quarter of an hour is over.
async function follow(left) {
  const parts = [...document.querySelectorAll("[data-live]")];
  if (!parts.length || left <= 0) return;
  for (const link of document.querySelectorAll("[data-unlive]")) link.hidden = true;
  await new Promise((done) => setTimeout(done, 2000));
  if (!document.hidden) {
    try {
      const answer = await fetch(location.pathname, { redirect: "error", headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts) {
        const now = page.getElementById(part.id);
        if (now) part.replaceWith(now);
      }
    } catch {
      // The server may be restarting: the next look tells.
    }
  }
  await follow(left - 1);
}
follow(450);
