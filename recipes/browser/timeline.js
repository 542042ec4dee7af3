// A picture of scores: a row for each class, time from left to right.
const ROWS = 12; // Of more classes, those with the highest scores are shown.
const ROW_HEIGHT = 22;

/**
 * Draws windows `{start, end, scores}`, in seconds, between two times. Of two that overlap, the first one ends and the
 * second one begins in the middle of what they share. `cursor` is the time of a line, or null.
 */
export function drawTimeline(canvas, windows, classNames, [from, to], cursor) {
  const style = getComputedStyle(canvas);
  const [text, line, mark] = ["--text", "--line", "--mark"].map((name) => style.getPropertyValue(name));
  const best = classNames.map((_, index) => Math.max(...windows.map(({ scores }) => scores[index])));
  const order = [...classNames.keys()].sort((a, b) => best[b] - best[a]).slice(0, ROWS).sort((a, b) => a - b);

  const [width, height, scale] = [canvas.clientWidth, order.length * ROW_HEIGHT + 24, devicePixelRatio];
  canvas.style.height = `${height}px`;
  Object.assign(canvas, { width: width * scale, height: height * scale });
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = `13px ${style.fontFamily}`;
  const names = Math.min(0.4 * width, Math.max(...order.map((index) => context.measureText(classNames[index]).width)));
  const left = names + 10;
  const x = (seconds) => Math.round(left + ((seconds - from) / (to - from)) * (width - left));

  order.forEach((index, row) => {
    const top = row * ROW_HEIGHT;
    context.fillStyle = text;
    context.fillText(classNames[index], 0, top + 16, names);
    context.fillStyle = line;
    context.fillRect(left, top + ROW_HEIGHT - 1, width - left, 1);
    context.fillStyle = mark;
    windows.forEach((shown, number) => {
      const [before, after] = [windows[number - 1], windows[number + 1]];
      const begin = x(Math.max(from, before ? (shown.start + before.end) / 2 : shown.start));
      const end = x(after ? (after.start + shown.end) / 2 : shown.end);
      context.globalAlpha = Math.min(1, Math.max(0, shown.scores[index]));
      if (end > begin) context.fillRect(begin, top + 2, end - begin, ROW_HEIGHT - 4);
    });
    context.globalAlpha = 1;
  });

  context.fillStyle = text;
  const step = [0.5, 1, 2, 5, 10, 30, 60, 120, 300].find((size) => ((to - from) / size) * 45 < width - left) ?? 600;
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    context.textAlign = x(time) > width - 20 ? "right" : x(time) < left + 10 ? "left" : "center";
    context.fillText(`${time} s`, x(time), height - 6);
  }
  if (cursor !== null) context.fillRect(x(cursor) - 1, 0, 2, height - 24);
}
