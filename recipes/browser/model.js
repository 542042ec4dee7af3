// A model that `keras-audio-si export --to onnx` wrote, run by onnxruntime-web.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // More need headers that a plain file server does not send.
ort.env.wasm.proxy = true; // In a worker, so that the page reacts while it computes.

/** Loads a model. Returns its class names, sample rate in Hz and window (0: any), and a function from samples to scores. */
export async function loadModel(address) {
  const response = await fetch(address).catch(() => ({}));
  if (!response.ok) {
    throw new Error(`There is no ${address} beside this page: keras-audio-si export MODEL --to onnx --output ${address}`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { class_names: classNames, sample_rate: sampleRate, window_samples: windowSamples } = metadata(bytes);
  if (!classNames || !sampleRate) {
    throw new Error(`${address} does not name its classes and sample rate, as files of keras-audio-si export do.`);
  }
  const session = await ort.InferenceSession.create(bytes);
  const score = async (samples) => {
    const waveforms = new ort.Tensor("float32", samples, [1, samples.length]);
    return (await session.run({ waveforms })).scores.data;
  };
  return { classNames, sampleRate, windowSamples, score };
}

/** The metadata of an ONNX file, which onnxruntime-web does not give: field 14 of its protocol buffer. */
function metadata(bytes) {
  const text = (value) => new TextDecoder().decode(value);
  const found = {};
  for (const [field, value] of protobufFields(bytes)) {
    if (field !== 14) continue;
    const entry = Object.fromEntries(protobufFields(value)); // 1: key, 2: value, which is JSON.
    found[text(entry[1])] = JSON.parse(text(entry[2]));
  }
  return found;
}

function* protobufFields(bytes) {
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const type = key % 8;
    const length = { 1: 8, 2: 0, 5: 4 }[type];
    if (type === 0) varint();
    else if (length === undefined) return; // Not a protocol buffer.
    else {
      const end = (length || varint()) + at;
      yield [Math.floor(key / 8), bytes.subarray(at, end)];
      at = end;
    }
  }
}
