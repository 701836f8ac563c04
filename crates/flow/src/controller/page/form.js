// A form for what a workflow takes.

import { words } from "./words.js";

let count = 0;

// An element with properties and children; texts are put in as texts.
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const MEDIA = { image: "image/*", audio: "audio/*", video: "video/*", file: "" };
const CODE = ["json", "object", "list", "object[]"];

class Wrong extends Error {}

// One field: its element, and what it says.
class Field {
  constructor(schema) {
    this.schema = schema;
    this.id = `field-${count += 1}`;
    this.problem = make("p", { className: "bad", id: `${this.id}-problem`, role: "alert" });
    this.widget = this.build();
    this.widget.id = this.id;
    this.widget.name = schema.name ?? "input";
    const hint = [schema.description, this.hint()].filter(Boolean).join("\n");
    const hintId = `${this.id}-hint`;
    this.widget.setAttribute("aria-describedby", `${hintId} ${this.id}-problem`);
    const label = make("label", { htmlFor: this.id }, schema.name ?? words.input);
    const about = make("p", { className: "hint", id: hintId }, hint);
    this.element = this.widget.type === "checkbox"
      ? make("div", { className: "field check" }, this.widget, label, about, this.problem)
      : make("div", { className: "field" }, label, about, this.widget, this.problem);
  }

  get kind() {
    const { type, is_list: isList } = this.schema;
    if (type in MEDIA) return "file";
    if (CODE.includes(type)) return "json";
    if (isList) return "lines";
    if (type === "select" && this.schema.options?.length) return "select";
    if (["integer", "number", "slider"].includes(type)) return "number";
    if (type === "boolean") return "boolean";
    return ["text", "markdown"].includes(type) ? "text" : "string";
  }

  hint() {
    return { json: words.json, lines: words.lines }[this.kind];
  }

  build() {
    const { type, options, is_list: isList } = this.schema;
    const start = this.schema.default;
    const text = start === undefined || start === null ? "" : String(start);
    switch (this.kind) {
      case "file":
        return make("input", { type: "file", accept: MEDIA[type], multiple: Boolean(isList) });
      case "json": {
        const value = typeof start === "string" ? start : start === undefined ? "" : JSON.stringify(start, null, 2);
        return make("textarea", { className: "code", value });
      }
      case "lines":
        return make("textarea", { value: Array.isArray(start) ? start.join("\n") : text });
      case "select": {
        const select = make("select");
        if (!options.includes(text)) select.append(make("option", { value: "" }, ""));
        select.append(...options.map((option) => make("option", { value: option }, option)));
        select.value = options.includes(text) ? text : "";
        return select;
      }
      case "number":
        return make("input", {
          type: "text", value: text,
          inputmode: type === "integer" ? "numeric" : "decimal",
        });
      case "boolean":
        return make("input", { type: "checkbox", checked: start === true });
      case "text":
        return make("textarea", { rows: 5, value: text });
      default:
        return make("input", { type: "text", value: text, autocomplete: "off" });
    }
  }

  // What stands in the field; undefined for nothing.
  read() {
    this.tell("");
    const text = this.widget.value;
    switch (this.kind) {
      case "file": {
        const files = [...this.widget.files];
        return files.length === 0 ? undefined : this.schema.is_list ? files : files[0];
      }
      case "json":
        return text.trim() === "" ? undefined : this.parse(text);
      case "lines":
        return text.split("\n").filter((line) => line !== "").map((line) => this.item(line));
      case "select":
        return text === "" ? undefined : text;
      case "number":
        return text.trim() === "" ? undefined : this.number(text);
      case "boolean":
        return this.widget.checked;
      default:
        return text;
    }
  }

  item(line) {
    return ["integer", "number"].includes(this.schema.type) ? this.number(line) : line;
  }

  // Beyond what a number of JavaScript can say exactly it stays the text that it is.
  number(text) {
    const number = Number(text.trim());
    const isInteger = this.schema.type === "integer";
    if (!Number.isFinite(number) || (isInteger && !/^[-+]?\d+$/.test(text.trim()))) {
      throw this.tell(words.badNumber);
    }
    return isInteger && !Number.isSafeInteger(number) ? text.trim() : number;
  }

  parse(text) {
    try {
      return JSON.parse(text);
    } catch {
      throw this.tell(words.badJson);
    }
  }

  tell(problem) {
    this.problem.textContent = problem;
    this.widget.setAttribute("aria-invalid", String(problem !== ""));
    if (problem !== "") this.widget.focus();
    return new Wrong(problem);
  }
}

// The fields of a workflow, as one form.
export class Form {
  constructor(schema, send) {
    this.workflow = schema.workflow_id;
    this.fields = schema.input.map((field) => new Field(field));
    this.raw = new Field({ name: words.raw, type: "json", description: words.rawHint });
    this.button = make("button", { className: "main", type: "submit" }, words.run);
    const first = this.fields.length === 0 ? [make("p", { className: "about" }, words.noInput)] : [];
    this.element = make("form", { className: "card", noValidate: true },
      make("h3", {}, words.input),
      ...first, ...this.fields.map((field) => field.element),
      make("details", {}, make("summary", {}, words.raw), this.raw.element),
      make("div", { className: "row" }, this.button));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      try {
        send(this.request());
      } catch (error) {
        if (!(error instanceof Wrong)) throw error;
      }
    });
  }

  input() {
    const raw = this.raw.read();
    if (raw !== undefined) return raw;
    let input = {};
    for (const field of this.fields) {
      const value = field.read();
      if (value === undefined) continue;
      if (field.schema.name === undefined) input = value;
      else put(input, steps(field.schema.name), value);
    }
    return input;
  }

  // A request for a run: JSON, or a form if there are files.
  request() {
    const input = this.input();
    const form = new FormData();
    form.append("workflow_id", this.workflow);
    form.append("wait_for_completion", "false");
    if (flatten(form, "input", input)) return { method: "POST", body: form };
    return {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ workflow_id: this.workflow, input, wait_for_completion: false }),
    };
  }
}

// `user.name` and `items[0]` as their steps.
function steps(name) {
  return name.replaceAll("]", "").split(/[.[]/).map((step) => /^\d+$/.test(step) ? Number(step) : step);
}

function put(input, path, value) {
  let slot = input;
  path.forEach((step, at) => {
    if (at === path.length - 1) slot[step] = value;
    else slot = slot[step] ??= typeof path[at + 1] === "number" ? [] : {};
  });
}

// Puts a value into a form, and says whether files are in it.
function flatten(form, key, value) {
  if (value instanceof File) {
    form.append(key, value, value.name);
    return true;
  }
  if (Array.isArray(value)) {
    return value.map((item) => flatten(form, `${key}[]`, item)).some(Boolean);
  }
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value);
    return entries.map(([name, item]) => flatten(form, `${key}[${name}]`, item)).some(Boolean);
  }
  if (value !== null) form.append(key, String(value));
  return false;
}
