// Runs in the audio thread: passes on the samples of the microphone, the mean of its channels.
registerProcessor("recorder", class extends AudioWorkletProcessor {
  process([[samples]]) {
    if (samples) this.port.postMessage(samples.slice());
    return true;
  }
});
