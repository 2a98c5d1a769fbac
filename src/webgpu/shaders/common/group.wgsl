// Workgroups lie in a grid where there are more than one axis may have; p.groups of them have work.

fn groupIndex(wg: vec3u, grid: vec3u) -> u32 { return wg.x + wg.y * grid.x; }
