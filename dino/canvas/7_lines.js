// Lines between the patches of two panels that belong together, over both.

class Lines {
  constructor(svg, board) {
    Object.assign(this, { svg, board, pairs: [] });
  }

  // [[row, column, row, column, cosine], …], from the first panel to the second.
  set(pairs) {
    this.pairs = pairs;
  }

  // `only`: [row, column] in panel `number` whose lines alone are drawn; all of them without.
  draw(panels, number = null, only = null) {
    const box = this.board.getBoundingClientRect();
    const [first, second] = panels;
    this.svg.replaceChildren();
    if (!this.pairs.length || !second) return;
    this.svg.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
    this.pairs.forEach(([row, column, toRow, toColumn, cosine], index) => {
      const asked = number === 1 ? [toRow, toColumn] : [row, column];
      if (only && (asked[0] !== only[0] || asked[1] !== only[1])) return;
      const from = first.middle(row, column), to = second.middle(toRow, toColumn);
      if (!from.inside || !to.inside) return;
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const place = { x1: from.x - box.left, y1: from.y - box.top, x2: to.x - box.left, y2: to.y - box.top };
      for (const [name, value] of Object.entries(place)) line.setAttribute(name, value.toFixed(1));
      // Neighbours get colours far apart: steps of the golden angle.
      line.setAttribute("stroke", `hsl(${(index * 137.5) % 360} 90% 60%)`);
      line.setAttribute("stroke-opacity", Math.max(0.35, cosine).toFixed(2));
      this.svg.append(line);
    });
  }
}
