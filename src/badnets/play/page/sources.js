// Where pictures come from: the test set, a file, a drop, the camera.
import { ask, Refused } from "./ask.js";
import { element } from "./said.js";

const at = (id) => document.getElementById(id);
const video = at("video");
let turn = 0, stream = null, timer = 0;

export function base64(file) {
  return new Promise((give, fail) => {
    const reader = new FileReader();
    reader.onload = () => give(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => fail(new Refused("expected a file that can be read, got another"));
    reader.readAsDataURL(file);
  });
}

export function begin(facts, take, tell) {
  const classes = at("class");
  classes.append(new Option("any", ""), ...facts.classes_shown.map((k) => new Option(facts.class_names[k], k)));
  at("choose").hidden = at("thumbs").hidden = !facts.test;
  const thumbs = async () => {
    if (!facts.test) return;
    try {
      const label = classes.value === "" ? null : Number(classes.value);
      const { pictures } = await ask("look", { label, turn });
      at("thumbs").replaceChildren(...pictures.map(({ row, label: of, picture }) => {
        const name = of === null ? `test picture ${row}` : `${facts.class_names[of]}, test picture ${row}`;
        const button = element("button", { type: "button", title: name, dataset: { row } }, element("img", { src: picture, alt: name }));
        button.setAttribute("aria-pressed", "false");
        button.onclick = () => { stop(); take({ row }); };
        return element("li", {}, button);
      }));
      mark(taken);
    } catch (error) { tell(error.message); }
  };
  classes.onchange = () => { turn = 0; thumbs(); };
  at("another").onclick = () => { turn += 1; thumbs(); };
  at("open").onclick = () => at("file").click();
  at("file").onchange = () => { bring(at("file").files[0], take, tell); at("file").value = ""; };
  const stage = at("stage");
  stage.addEventListener("dragover", (event) => { event.preventDefault(); stage.classList.add("dropping"); });
  stage.addEventListener("dragleave", () => stage.classList.remove("dropping"));
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("dropping");
    bring(event.dataTransfer.files[0], take, tell);
  });
  at("camera").onclick = () => (stream ? stop() : camera(facts, take, tell));
  return thumbs();
}

let taken = null;
export function mark(picture) {
  taken = picture;
  for (const button of at("thumbs").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.row) === picture?.row));
  }
}

async function bring(file, take, tell) {
  if (!file) return;
  if (file.size > 16e6) { tell(`expected a file of at most 16 MB, got ${(file.size / 1e6).toFixed(0)} MB; choose a smaller one`); return; }
  try {
    const { key, picture } = await ask("bring", { what: "picture", data: await base64(file) });
    stop();
    take({ key, picture });
  } catch (error) { tell(error.message); }
}

// A frame every 100 ms, in the size that the network takes; whatever is not answered in time is skipped.
async function camera(facts, take, tell) {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    tell(error.name === "NotFoundError" ? "expected a camera, got none" : "expected leave to use the camera, got none; allow it in the browser");
    return;
  }
  at("camera").setAttribute("aria-pressed", "true");
  video.srcObject = stream;
  await video.play();
  const sheet = document.createElement("canvas"), [, rows, columns] = facts.input_size;
  const share = facts.task === "detect" ? Math.min(1, Math.max(rows / video.videoHeight, columns / video.videoWidth)) : 0;
  [sheet.width, sheet.height] = share ? [share * video.videoWidth, share * video.videoHeight] : [columns, rows];
  const pen = sheet.getContext("2d", { willReadFrequently: true });
  timer = setInterval(() => {
    const [w, h] = [video.videoWidth, video.videoHeight], side = Math.min(w / sheet.width, h / sheet.height);
    const [cut, high] = [side * sheet.width, side * sheet.height];
    pen.drawImage(video, (w - cut) / 2, (h - high) / 2, cut, high, 0, 0, sheet.width, sheet.height);
    take({ data: sheet.toDataURL("image/png").split(",")[1] }, true);
  }, 100);
}

export function stop() {
  clearInterval(timer);
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  at("camera").setAttribute("aria-pressed", "false");
}
