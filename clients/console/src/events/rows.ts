/** Which rows of a long list are in sight. Pure. */

export interface Rows {
  readonly first: number;
  /** Behind the last. */
  readonly end: number;
  readonly totalPx: number;
}

export function rowsInSight(scrollPx: number, heightPx: number, rowPx: number, count: number, spare = 8): Rows {
  const first = Math.max(0, Math.min(count, Math.floor(scrollPx / rowPx)) - spare);
  const end = Math.min(count, Math.ceil((scrollPx + heightPx) / rowPx) + spare);
  return { first, end: Math.max(first, end), totalPx: count * rowPx };
}

/** Where to scroll so that a row is in sight: in the middle, or unchanged where it is. */
export function scrollTo(row: number, scrollPx: number, heightPx: number, rowPx: number): number {
  const top = row * rowPx;
  if (top >= scrollPx && top + rowPx <= scrollPx + heightPx) return scrollPx;
  return Math.max(0, top - (heightPx - rowPx) / 2);
}
