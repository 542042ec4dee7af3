// The page: sound of the microphone or of a file, cut into half-overlapping windows, and the scores of each.
import { loadModel } from "./model.js";
import { drawTimeline } from "./timeline.js";

const LARGEST_FILE = 50e6; // Bytes.
const KEPT_SECONDS = 60; // Of a recording.
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
let model; // See `loadModel`.
let windows = []; // `{start, end, scores}`, times in seconds.
let range = [0, 1]; // The times at both ends of the timeline.
let running = null; // The run in progress: `{stopped, stop}`.

function say(text, isError = false) {
  page.message.textContent = text;
  page.message.className = isError ? "error" : "";
}

function show() {
  page.result.hidden = !windows.length;
  if (!windows.length) return;
  const cursor = page.player.hidden ? null : page.player.currentTime;
  const played = windows.findLast(({ start, end }) => 0.75 * start + 0.25 * end <= cursor) ?? windows[0];
  const { start, end, scores } = cursor === null ? windows.at(-1) : played;
  page.heading.textContent = `Highest scores, ${start.toFixed(1)} to ${end.toFixed(1)} s`;
  const ranked = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, 4);
  page.top.replaceChildren(...ranked.map((index) => tag(model.classNames[index], scores[index])));
  drawTimeline(page.timeline, windows, model.classNames, range, cursor);
}

function tag(name, score) {
  const item = document.createElement("li");
  const [label, bar, value] = ["span", "i", "span"].map((kind) => item.appendChild(document.createElement(kind)));
  [label.textContent, value.textContent, bar.style.backgroundSize] = [name, score.toFixed(2), `${100 * score}% 100%`];
  return item;
}

/** Scores samples that begin at the sample `first`. */
async function scored(samples, first) {
  const [start, end] = [first / model.sampleRate, (first + samples.length) / model.sampleRate];
  return { start, end, scores: await model.score(samples) };
}

function windowSamples() {
  const { min, max } = page.seconds;
  if (!page.seconds.checkValidity()) throw new Error(`A window must be ${min} to ${max} seconds long.`);
  return Math.round(page.seconds.valueAsNumber * model.sampleRate);
}

async function tagFile(file, run) {
  if (file.size > LARGEST_FILE) throw new Error(`${file.name} is larger than ${LARGEST_FILE / 1e6} MB.`);
  const decoder = new OfflineAudioContext(1, 1, model.sampleRate); // It resamples what it decodes.
  const sound = await decoder.decodeAudioData(await file.arrayBuffer()).catch(() => {
    throw new Error(`${file.name} is not audio that this browser can decode.`);
  });
  const channels = Array.from({ length: sound.numberOfChannels }, (_, number) => sound.getChannelData(number));
  const mono = channels[0].map((_, at) => channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length);
  const length = Math.min(windowSamples(), mono.length);
  const starts = [];
  for (let start = 0; start + length <= mono.length; start += Math.ceil(length / 2)) starts.push(start);
  // What is left of less than a hundredth of a window gets none of its own, as in `keras-audio-si tag`.
  if (mono.length - (starts.at(-1) + length) > length / 100) starts.push(mono.length - length);
  URL.revokeObjectURL(page.player.src);
  page.player.src = URL.createObjectURL(file);
  page.player.hidden = false;
  range = [0, sound.duration];
  for (const start of starts) {
    const found = await scored(mono.slice(start, start + length), start);
    if (run.stopped) return;
    windows.push(found);
    say(`${file.name}: ${windows.length} of ${starts.length} windows`);
    show();
  }
}

async function record(run) {
  const latest = new Float32Array(windowSamples());
  if (!navigator.mediaDevices) throw new Error("Browsers give the microphone to pages of https:// and 127.0.0.1 only.");
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain }).catch((error) => {
    throw new Error(`The microphone cannot be used: ${error.message}`);
  });
  const context = new AudioContext({ sampleRate: model.sampleRate });
  let [recorded, next, busy, leftOut] = [0, latest.length, false, 0];

  async function hear({ data }) {
    latest.copyWithin(0, data.length);
    latest.set(data, latest.length - data.length);
    recorded += data.length;
    if (recorded < next) return;
    next += Math.ceil(latest.length / 2);
    if (busy) return void leftOut++;
    busy = true;
    const found = await scored(latest.slice(), recorded - latest.length);
    busy = false;
    if (run.stopped) return;
    windows = [...windows, found].filter(({ end }) => end > found.end - KEPT_SECONDS);
    range = [Math.max(0, found.end - KEPT_SECONDS), Math.max(10, found.end)];
    say(`Recording${leftOut ? `. Scoring is slower than the sound: ${leftOut} windows were left out` : ""}`);
    show();
  }

  try {
    await context.audioWorklet.addModule("recorder.js");
    const recorder = new AudioWorkletNode(context, "recorder", { channelCount: 1, channelCountMode: "explicit" });
    context.createMediaStreamSource(stream).connect(recorder).connect(context.destination); // It plays silence.
    await new Promise((resolve, reject) => {
      run.end = resolve;
      recorder.port.onmessage = (message) => hear(message).catch(reject);
      if (run.stopped) resolve();
    });
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
  }
}

/** Runs `task(run)` in place of what runs. */
async function start(task, text) {
  running?.stop();
  const run = { stopped: false, stop() { this.stopped = true; this.end?.(); } };
  running = run;
  page.player.pause();
  [windows, page.player.hidden, page.record.textContent] = [[], true, "Stop"];
  show();
  say(text);
  try {
    await task(run);
    if (running === run && run.stopped) say("Stopped");
  } catch (error) {
    if (running === run) say(error.message, true);
  }
  if (running !== run) return;
  [running, page.record.textContent] = [null, "Record"];
}

function writeTable() {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const header = ["start_seconds", "end_seconds", ...model.classNames.map(quoted)];
  const rows = [header, ...windows.map(({ start, end, scores }) => [start, end, ...scores])];
  page.table.href = URL.createObjectURL(new Blob([rows.map((row) => row.join() + "\n").join("")], { type: "text/csv" }));
}

page.record.onclick = () => (running ? running.stop() : start(record, "Recording"));
page.file.onchange = () => {
  const [file] = page.file.files;
  if (file) start((run) => tagFile(file, run), `Decoding ${file.name}`);
  page.file.value = ""; // So that the same file can be chosen again.
};
page.table.onclick = writeTable;
page.player.ontimeupdate = show;
page.player.onseeking = show;
addEventListener("resize", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

try {
  model = await loadModel("model.onnx");
  if (model.windowSamples) {
    const seconds = Number((model.windowSamples / model.sampleRate).toFixed(6)); // Exact to the sample.
    page.seconds.min = Math.min(page.seconds.min, seconds);
    page.seconds.max = Math.max(page.seconds.max, seconds);
    page.seconds.value = seconds;
  }
  page.controls.disabled = false;
  say(`Ready: ${model.classNames.length} classes at ${model.sampleRate} Hz`);
} catch (error) {
  say(error.message, true);
}
