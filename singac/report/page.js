"use strict";
// Hover, focus and search on a page that is complete without them.
const details = document.getElementById("details");
const search = document.getElementById("search");
const found = document.getElementById("found");
const items = [...document.querySelectorAll(".item")];
const searched = [...document.querySelectorAll("[data-words]")];
const sent = [...document.querySelectorAll(".sent")];

function names(item) {
  return (item.dataset.about || "").split(" ").filter(Boolean);
}

// Everything that is about the same layers and params lights up with an item.
function show(item) {
  const own = new Set(names(item));
  details.textContent = item.dataset.detail;
  for (const other of items) {
    other.classList.toggle("lit", other !== item && names(other).some((n) => own.has(n)));
  }
  for (const arrow of sent) {
    const ends = arrow.dataset.ends.split(" ");
    const near = item.dataset.lane === undefined || ends.includes(item.dataset.lane);
    arrow.classList.toggle("lit", near && own.has(arrow.dataset.about));
  }
}

function hide() {
  details.textContent = "";
  for (const element of [...items, ...sent]) element.classList.remove("lit");
}

function goTo(item, from) {
  from.tabIndex = -1;
  item.tabIndex = 0;
  item.focus();
  item.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// The nearest item in the direction of an arrow key.
function next(item, key) {
  const here = item.getBoundingClientRect();
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best = null, least = Infinity;
  for (const other of item.closest("svg").querySelectorAll(".item")) {
    const there = other.getBoundingClientRect();
    const x = there.left - here.left, y = there.top - here.top;
    const along = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
    const far = along + 4 * aside;
    if (other !== item && along > 0.5 && far < least) [best, least] = [other, far];
  }
  return best;
}

for (const item of items) {
  item.addEventListener("mouseenter", () => show(item));
  item.addEventListener("mouseleave", hide);
  item.addEventListener("focus", () => show(item));
  item.addEventListener("blur", hide);
  item.addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const other = next(item, event.key);
    if (other) goTo(other, item);
  });
}
// One stop of the Tab key a drawing; the arrow keys go on from there.
for (const svg of document.querySelectorAll("svg")) {
  const first = svg.querySelector(".item");
  if (first) first.tabIndex = 0;
}

search.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  let count = 0;
  for (const element of searched) {
    const fits = element.dataset.words.toLowerCase().includes(wanted);
    element.classList.toggle("dim", !fits);
    if (fits) count += 1;
  }
  found.textContent = wanted ? `${count} found` : "";
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape") {
    search.value = "";
    search.dispatchEvent(new Event("input"));
    hide();
  }
});
