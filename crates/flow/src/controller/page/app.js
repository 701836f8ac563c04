// The page: workflows at the left, and one of them with its form and its run.
//
// `#/ID` is a workflow and `#/ID/TASK` one of its runs, so a reload finds both again.

import { json, Refused } from "./api.js";
import { Form, make } from "./form.js";
import { Run } from "./run.js";
import { language, words } from "./words.js";

const list = document.getElementById("list");
const main = document.getElementById("main");
const lost = document.getElementById("lost");

let schemas = [];
let shown = { id: null, form: null, run: null, place: null, problem: null };

function address(id, task) {
  return `#/${[id, task].filter(Boolean).map(encodeURIComponent).join("/")}`;
}

function route() {
  const [, id, task] = location.hash.split("/").map(decodeURIComponent);
  return { id: id || (schemas.length === 1 ? schemas[0].workflow_id : null), task };
}

function title(schema) {
  return schema.title ?? (schema.workflow_id.startsWith("__") ? words.untitled : schema.workflow_id);
}

function tellLost(isLost) {
  lost.textContent = isLost ? words.lost : "";
}

function showList(current) {
  const links = schemas.map((schema) => {
    const { workflow_id: id } = schema;
    const isCurrent = id === current ? "page" : null;
    const link = make("a", { href: address(id), "aria-current": isCurrent }, title(schema));
    if (schema.title && !id.startsWith("__")) link.append(make("small", {}, id));
    return make("li", {}, link);
  });
  list.replaceChildren(make("ul", {}, ...links));
}

function show() {
  // The link that skips the list is no place of ours.
  if (location.hash === "#main") return main.focus();
  const { id, task } = route();
  const schema = schemas.find((one) => one.workflow_id === id);
  showList(id);
  if (schema && shown.id === id) {
    // The form stays as it was filled.
    if (shown.run?.task !== task) showRun(schema, task);
    return;
  }
  shown.run?.close();
  shown = { id: schema ? id : null, form: null, run: null, place: make("div"), problem: null };
  if (!schema) {
    document.title = words.workflows;
    const said = schemas.length === 0 ? words.none : id ? words.unknown : words.choose;
    main.replaceChildren(make("p", { className: "about" }, said));
    return;
  }
  document.title = title(schema);
  shown.form = new Form(schema, (request) => start(schema, request));
  shown.problem = make("p", { className: "bad", role: "alert" });
  main.replaceChildren(
    make("h2", {}, title(schema)),
    make("p", { className: "about" }, schema.description ?? ""),
    shown.form.element, shown.problem, shown.place);
  showRun(schema, task);
}

function showRun(schema, task) {
  shown.run?.close();
  shown.run = null;
  const { form, place } = shown;
  form.button.disabled = Boolean(task);
  place.replaceChildren();
  if (!task) return;
  let isOver = false;
  const over = () => {
    isOver = true;
    form.button.disabled = false;
    form.button.textContent = words.again;
  };
  const run = new Run(task, schema, { lost: tellLost, over });
  if (!isOver) shown.run = run;
  place.replaceChildren(run.element);
}

async function start(schema, request) {
  const { form, problem } = shown;
  problem.textContent = "";
  form.button.disabled = true;
  try {
    const { task_id: task } = await json("workflows/runs", request);
    tellLost(false);
    location.hash = address(schema.workflow_id, task);
  } catch (error) {
    form.button.disabled = false;
    problem.textContent = error instanceof Refused ? error.message : words.lost;
  }
}

async function begin() {
  document.documentElement.lang = language;
  document.getElementById("skip").textContent = words.skip;
  document.getElementById("home").textContent = words.workflows;
  list.setAttribute("aria-label", words.workflows);
  for (;;) {
    try {
      schemas = await json("workflows?include_schema=true");
      break;
    } catch {
      tellLost(true);
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
  tellLost(false);
  window.addEventListener("hashchange", show);
  show();
}

begin();
