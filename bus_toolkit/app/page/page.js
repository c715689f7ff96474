// The form: what is asked, and the one request that asks it. Texts reach the page as text, never as HTML.

import { Answer } from "./answer.js";

const $ = (id) => document.getElementById(id);
const KINDS = { answer: "question", label: "question or statement", ground: "expression", retrieve: "caption" };
let about, answer, file = null, picked = null, ownRatio = true, running = false, again = false;

async function start() {
  const reply = await fetch("about.json");
  if (!reply.ok) throw new Error((await reply.json()).error);
  about = await reply.json();
  const can = (name) => about.abilities.includes(name);
  answer = new Answer(about);
  $("run").textContent = about.run;
  document.title = `Try ${about.run}`;
  const kinds = Object.keys(KINDS).filter((name) => can(name) && (name !== "label" || !can("answer"))).map((name) => KINDS[name]);
  $("text-kinds").textContent = kinds.length ? `(${kinds.join(", ")})` : "(selects the patches)";
  $("text").maxLength = about.most_characters;
  $("captions-part").hidden = !can("retrieve");
  $("captions").value = about.captions.join("\n");
  $("ratio-part").hidden = !about.keep_ratios.length;
  resetRatio();
  about.gallery.forEach(addToGallery);
  $("gallery-part").hidden = !about.gallery.length;
}

function addToGallery(name, number) {
  const button = document.createElement("button"), image = document.createElement("img");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  Object.assign(image, { src: `gallery/${number}.png`, alt: name, loading: "lazy" });
  button.append(image);
  button.addEventListener("click", () => { choose(null, number); ask(); });
  $("gallery").append(button);
}

// Returns whether there is an image now: a file that is too large is not sent.
function choose(chosen, number = null) {
  showError("");
  if (chosen && chosen.size > about.most_bytes) {
    showError(`${chosen.name} has ${chosen.size.toLocaleString("en")} bytes; `
      + `${about.most_bytes.toLocaleString("en")} are the most. Make it smaller.`);
    chosen = null;
  }
  [file, picked] = [chosen, number];
  if (!chosen) $("file").value = "";
  const name = chosen ? chosen.name : number === null ? "" : about.gallery[number];
  $("chosen").textContent = $("file").files.length ? "" : name; // a chosen file has its name beside the button
  [...$("gallery").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
  return file !== null || picked !== null;
}

function resetRatio() {
  ownRatio = true;
  const ratios = [...new Set(about.keep_ratios.map((ratio) => ratio.toFixed(2)))];
  $("ratio").value = about.keep_ratios[0] ?? 1;
  $("ratio-shown").textContent = `${ratios.join(", ")} (as in the run)`;
}

function question() {
  const asked = { text: $("text").value };
  if (!ownRatio) asked.keep_ratio = Number($("ratio").value);
  if (!$("captions-part").hidden) {
    asked.captions = $("captions").value.split("\n").map((line) => line.trim()).filter(Boolean);
  }
  if (picked !== null) asked.gallery = picked;
  return new Blob([JSON.stringify(asked), "\n", ...(file ? [file] : [])]);
}

// One question at a time; of those that come meanwhile the last is asked.
async function ask() {
  if (file === null && picked === null) return showError("Choose or drop an image first.");
  if (running) { again = true; return; }
  running = true;
  $("status").textContent = "Asking ...";
  try {
    do {
      again = false;
      await answer.show(await send(question()));
      showError("");
    } while (again);
  } catch (error) {
    $("result").hidden = true; // an answer to another question would stay beside the error
    showError(error instanceof TypeError ? "The app does not answer. Is it still running?" : error.message);
  } finally {
    running = false;
    $("status").textContent = "";
  }
}

async function send(body) {
  const headers = { "Content-Type": "application/octet-stream", "X-Bus-Token": about.token };
  const reply = await fetch("ask", { method: "POST", headers, body });
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error);
  return found;
}

function showError(text) {
  $("error").textContent = text;
}

function take(files) {
  if (files.length && choose(files[0])) ask();
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
$("file").addEventListener("change", () => take($("file").files));
$("ratio").addEventListener("input", () => {
  ownRatio = false;
  $("ratio-shown").textContent = Number($("ratio").value).toFixed(2);
});
$("ratio").addEventListener("change", () => { if (answer.shown) ask(); });
$("ratio-own").addEventListener("click", () => { resetRatio(); if (answer.shown) ask(); });
// The whole page takes a dropped image; without this the browser would leave the page to show it.
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files));
start().catch((error) => showError(`The page could not start: ${error.message}`));
