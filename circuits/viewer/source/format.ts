// Numbers as they are read: three digits, thousands apart, a true minus.

import type { Estimate, Maybe } from "./messages";

const MINUS = "\u2212";

export function number(value: Maybe, digits = 3): string {
  if (value === null || !Number.isFinite(value)) return "\u2013";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text =
    size >= 1e7 || size < 1e-3
      ? value.toExponential(digits - 1).replace("e+", "e")
      : size >= 1000
        ? count(Math.round(size))
        : String(Number(size.toPrecision(digits)));
  return (value < 0 ? MINUS : "") + text.replace(/^-/, "").replace("e-", `e${MINUS}`);
}

export function signed(value: Maybe, digits = 3): string {
  const text = number(value, digits);
  return value !== null && value > 0 ? `+${text}` : text;
}

/** A whole number, thousands apart. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

export function size(n_params: number): string {
  for (const [least, unit] of [
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (n_params >= least) return `${Number((n_params / least).toPrecision(3))}${unit}`;
  }
  return String(n_params);
}

export function interval(estimate: Estimate): string {
  const { mean, low, high } = estimate;
  return low === null || high === null ? number(mean) : `${signed(mean)} [${signed(low)}, ${signed(high)}]`;
}

export function share(value: Maybe): string {
  return value === null ? "\u2013" : `${number(value * 100)} %`;
}

/** Some round numbers over a range. */
export function ticks(low: number, high: number, about = 4): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(span / about));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => span / n <= about) ?? power * 10;
  const found: number[] = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) {
    found.push(Math.abs(at) < step / 1e6 ? 0 : Number(at.toPrecision(12)));
  }
  return found;
}
