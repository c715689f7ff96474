// What a question was answered: words, pictures, tables, and a walk over the patches.

import { drawImage, drawPatches, drawScale, limitsOf, load } from "./drawing.js";

const $ = (id) => document.getElementById(id);
const number = (value) => (value === null || value === undefined ? "" : value.toFixed(3));
const probability = (value) => (value === null || value === undefined ? "" : ` (probability ${number(value)})`);

export class Answer {
  constructor(about) {
    this.about = about;
    this.shown = null;
    this.stage = null;
    this.cursor = null;
    drawScale($("scale"));
    $("views").addEventListener("change", () => this.draw());
    const canvas = $("patches");
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.move(null));
    canvas.addEventListener("keydown", (event) => this.step(event));
    canvas.addEventListener("focus", () => this.cursor ?? this.move([0, 0]));
    canvas.addEventListener("blur", () => this.move(null));
  }

  async show(found) {
    const [image, seen] = await Promise.all([load(found.image), load(found.seen)]);
    this.shown = found;
    this.seen = seen;
    this.cursor = null;
    // The stage that was looked at stays; at first it is the last one.
    this.stage = Math.min(this.stage ?? found.stages.length - 1, found.stages.length - 1);
    this.showWords(found);
    this.showStages(found.stages);
    this.showCaptions(found.captions);
    this.showImages(found.images);
    drawImage($("image"), image, found.box?.corners, found.size);
    const [width, height] = found.size, box = found.box?.corners.map(Math.round);
    $("image").setAttribute("aria-label", `The image${box ? `, with a box from ${box[0]}, ${box[1]} to ${box[2]}, ${box[3]}` : ""}`);
    $("image-caption").textContent = `The image, ${width} x ${height} pixels${box ? ", and the box that was found" : ""}`;
    $("result").hidden = false;
    this.draw();
  }

  showWords(found) {
    const tokens = [...found.stages.map((stage) => stage.tokens), ...(found.decoded ? [found.decoded] : [])];
    const words = {
      "Answer": found.answer && found.answer.words + probability(found.answer.probability),
      "Class": found.class && found.class.name + probability(found.class.probability),
      "Caption": found.caption,
      "Box": found.box && `${found.box.corners.map((v) => v.toFixed(0)).join(", ")} (left, top, right, bottom)`,
      "Score of the box": found.box && number(found.box.score),
      "Cosine with the text": found.scores && number(found.scores.score),
      "Match with the text": found.scores && number(found.scores.match),
      "Tokens by stage": tokens.join(" → "),
      "Time": `${found.seconds.toFixed(2)} s`,
    };
    $("answers").replaceChildren(...Object.entries(words).filter(([, value]) => value).flatMap(([name, value]) => {
      const title = document.createElement("dt"), text = document.createElement("dd");
      title.textContent = name;
      text.textContent = value;
      return [title, text];
    }));
  }

  showStages(stages) {
    const [legend] = $("stages").children;
    $("stages").replaceChildren(legend, ...stages.map((stage, i) => {
      const label = document.createElement("label"), input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "stage", value: String(i), checked: i === this.stage });
      input.addEventListener("change", () => { this.stage = i; this.draw(); });
      label.append(input, ` ${stage.name}`);
      return label;
    }));
    $("stage-part").hidden = stages.length < 2;
  }

  showCaptions(captions) {
    $("captions-found").hidden = !captions?.length;
    $("captions-rows").replaceChildren(...(captions ?? []).map((hit) => {
      const row = document.createElement("tr");
      row.append(...[hit.text, number(hit.score), number(hit.match)].map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      }));
      return row;
    }));
  }

  showImages(images) {
    $("images-found").hidden = !images?.length;
    $("images-rows").replaceChildren(...(images ?? []).map((hit) => {
      const item = document.createElement("li"), image = document.createElement("img");
      const name = this.about.gallery[hit.number];
      Object.assign(image, { src: `gallery/${hit.number}.png`, alt: name });
      item.append(image, `${number(hit.score)} ${name}`);
      return item;
    }));
  }

  draw() {
    const stage = this.shown.stages[this.stage], view = document.querySelector("input[name=view]:checked").value;
    drawPatches($("patches"), this.seen, stage, view, this.cursor);
    const count = stage.kept.flat().filter(Boolean).length, all = stage.kept.flat().length;
    const said = `${stage.name}: ${count} of ${all} patches are read`;
    $("patches").setAttribute("aria-label", `Patches. ${said}`);
    $("patches-caption").textContent = `${said}, ${stage.tokens} tokens; the image as the model sees it`;
    $("as-text").textContent = stage.kept.map((row) => row.map((kept) => (kept ? "#" : ".")).join("")).join("\n");
    const limits = view === "scores" && stage.scores ? limitsOf(stage.scores) : null;
    $("legend").hidden = !limits;
    if (limits) $("limits").textContent = `${number(limits[0])} to ${number(limits[1])}`;
  }

  // place: [row, column], or null for none.
  move(place) {
    if (!this.shown) return;
    this.cursor = place;
    this.draw();
    const stage = this.shown.stages[this.stage];
    if (place === null) { $("patch").textContent = ""; return; }
    const [row, column] = place, score = stage.scores?.[row][column];
    const said = stage.scores ? `, score ${score === null ? "none" : number(score)}` : "";
    $("patch").textContent = `Row ${row + 1}, column ${column + 1}: ${stage.kept[row][column] ? "read" : "dropped"}${said}`;
  }

  point(event) {
    const place = event.target.getBoundingClientRect(), [rows, columns] = this.shown.grid;
    const at = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
    this.move([at((event.clientY - place.top) / place.height, rows), at((event.clientX - place.left) / place.width, columns)]);
  }

  step(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const way = moves[event.key], [rows, columns] = this.shown.grid;
    if (!way) return;
    event.preventDefault();
    const [row, column] = this.cursor ?? [0, 0];
    this.move([Math.min(Math.max(row + way[0], 0), rows - 1), Math.min(Math.max(column + way[1], 0), columns - 1)]);
  }
}
