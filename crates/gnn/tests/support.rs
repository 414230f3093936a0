//! Random graphs, models and weights, and the definitions of the layers in f64.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use certus_contract::{Status, Verdict, ignore_events};
use certus_gnn::{
    Activation, Features, Graph, GraphFile, Head, LayerSpec, Model, ModelSpec, Norm, Op, Planner, Reduce, Solution, Weights, certificate,
};
use certus_io::NpzWriter;
use certus_numeric::Array;

pub(crate) const OPS: [Op; 10] = [Op::Gcn, Op::Sgc, Op::Appnp, Op::Sage, Op::Gin, Op::Gat, Op::Gatv2, Op::Graphconv, Op::Tag, Op::Linear];

/// Splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// In [-1, 1).
    pub(crate) fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

pub(crate) type Edges = Vec<(u32, u32)>;

/// A directed multigraph with loops, duplicates, a hub, and isolated nodes.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) nodes: usize,
    pub(crate) edges: Edges,
    pub(crate) weights: Option<Vec<f32>>,
}

impl Net {
    pub(crate) fn random(random: &mut Random, nodes: usize, weighted: bool) -> Net {
        let mut edges = Edges::new();
        // The last nodes stay without edges.
        let alive = nodes - nodes / 5;
        let hub = random.below(alive) as u32;
        let count = random.below(4 * nodes + 1);
        for _ in 0..count {
            let (a, b) = (random.below(alive) as u32, random.below(alive) as u32);
            match random.below(8) {
                0 => edges.push((a, a)),
                1 => edges.extend([(a, b), (a, b)]),
                2 | 3 => edges.push((a, hub)),
                4 => edges.push((hub, b)),
                _ => edges.push((a, b)),
            }
        }
        let weights = weighted.then(|| edges.iter().map(|_| 0.1 + 0.5 * (random.number() + 1.0)).collect());
        Net { nodes, edges, weights }
    }

    pub(crate) fn graph(&self) -> Graph {
        match &self.weights {
            Some(weights) => Graph::from_weighted_edges(self.nodes, &self.edges, weights).expect("a graph"),
            None => Graph::from_edges(self.nodes, self.edges.iter().copied()).expect("a graph"),
        }
    }

    /// The same graph with node i called `to[i]`.
    pub(crate) fn renamed(&self, to: &[usize]) -> Net {
        let edges = self.edges.iter().map(|&(a, b)| (to[a as usize] as u32, to[b as usize] as u32)).collect();
        Net { edges, ..self.clone() }
    }

    /// The incoming edges of each node in order, with weights.
    fn incoming(&self) -> Vec<Vec<(usize, f64)>> {
        let mut rows = vec![Vec::new(); self.nodes];
        for (k, &(source, target)) in self.edges.iter().enumerate() {
            rows[target as usize].push((source as usize, self.weights.as_ref().map_or(1.0, |w| f64::from(w[k]))));
        }
        rows
    }
}

/// Some zeros among the entries, some of them negative.
pub(crate) fn features(random: &mut Random, rows: usize, columns: usize, signed_zeros: bool) -> Array<f32> {
    Array::from_fn(rows, columns, |_, _| match random.below(5) {
        0 | 1 => 0.0,
        2 if signed_zeros && random.flip() => -0.0,
        _ => random.number(),
    })
}

const WIDTHS: [usize; 12] = [1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 70];

/// A layer with random options.
pub(crate) fn layer(random: &mut Random, op: Op, index: usize, input: usize) -> LayerSpec {
    let out = if op == Op::Appnp || random.below(4) == 0 { input } else { random.of(&WIDTHS) };
    let mut layer = LayerSpec::new(op, &format!("conv{index}"), input, out);
    layer.bias = random.below(4) > 0;
    layer.activation =
        random.of(&[Activation::None, Activation::Relu, Activation::Elu, Activation::Leakyrelu, Activation::Tanh, Activation::Sigmoid]);
    layer.norm = random.of(&[None, None, Some(Norm::Batch), Some(Norm::Layer)]);
    layer.add_self_loops = random.below(3) > 0;
    match op {
        Op::Gcn | Op::Sgc | Op::Appnp | Op::Tag => {
            layer.normalize = random.below(4) > 0;
            layer.self_loop_weight = random.of(&[1.0, 2.0, 0.5, 0.0]);
            if op != Op::Gcn {
                layer.hops = Some(random.below(4));
            }
            if op == Op::Appnp {
                layer.alpha = Some(random.of(&[0.0, 0.1, 0.5, 1.0]));
            }
        }
        Op::Sage => {
            layer.aggr = random.of(&[None, Some(Reduce::Sum), Some(Reduce::Mean), Some(Reduce::Max), Some(Reduce::Min)]);
            layer.project = random.below(3) == 0;
            layer.l2_normalize = random.below(3) == 0;
            layer.root_weight = random.below(3) > 0;
        }
        Op::Graphconv => {
            layer.aggr = random.of(&[None, None, Some(Reduce::Mean), Some(Reduce::Max)]);
            layer.root_weight = random.below(3) > 0;
        }
        Op::Gin => {
            layer.eps = random.of(&[0.0, 0.25, -1.0]);
            layer.train_eps = random.flip();
            layer.hidden =
                random.of(&[None, Some(&[][..]), Some(&[1]), Some(&[24]), Some(&[9, 3]), Some(&[2, 17, 5])]).map(<[usize]>::to_vec);
            layer.mlp_norm = random.of(&[None, Some(Norm::Batch)]);
        }
        Op::Gat | Op::Gatv2 => {
            layer.heads = random.of(&[1, 1, 2, 3]);
            layer.concat = random.flip();
            layer.negative_slope = random.of(&[0.2, 0.0, 1.5]);
            layer.share_weights = random.flip();
            if layer.heads > 1 && layer.concat && random.below(3) == 0 && input.is_multiple_of(layer.heads) {
                layer.out_channels = input / layer.heads;
            }
        }
        Op::Linear | Op::Jk => {}
    }
    layer.skip = layer.width() == input && random.below(3) > 0;
    layer
}

pub(crate) fn spec(random: &mut Random, ops: &[Op]) -> ModelSpec {
    let mut input = random.of(&WIDTHS);
    let layers = ops.iter().enumerate().map(|(k, &op)| {
        let layer = layer(random, op, k, input);
        input = layer.width();
        layer
    });
    ModelSpec::new(layers.collect()).expect("a model")
}

/// Random weights under the names of PyTorch Geometric.
pub(crate) fn weights(random: &mut Random, spec: &ModelSpec) -> Weights {
    let mut all = Weights::new();
    for layer in spec.layers() {
        let (input, out, heads) = (layer.in_channels, layer.out_channels, layer.heads);
        let mut matrix = |random: &mut Random, name: &str, out: usize, input: usize| {
            let scale = 1.0 / (input as f32).sqrt();
            let tensor = Array::from_fn(out, input, |_, _| scale * random.number());
            all.insert(format!("{}.{name}", layer.prefix), tensor);
        };
        let mut vectors = Vec::new();
        let mut vector = |wanted: bool, name: &str, length: usize| {
            if wanted {
                vectors.push((name.to_owned(), length));
            }
        };
        match layer.op {
            Op::Gcn | Op::Sgc => {
                matrix(random, "lin.weight", out, input);
                vector(layer.bias, if layer.op == Op::Gcn { "bias" } else { "lin.bias" }, out);
            }
            Op::Linear => {
                matrix(random, "weight", out, input);
                vector(layer.bias, "bias", out);
            }
            Op::Appnp | Op::Jk => {}
            Op::Tag => {
                for k in 0..=layer.steps() {
                    matrix(random, &format!("lins.{k}.weight"), out, input);
                }
                vector(layer.bias, "bias", out);
            }
            Op::Sage => {
                matrix(random, "lin_l.weight", out, input);
                vector(layer.bias, "lin_l.bias", out);
                if layer.root_weight {
                    matrix(random, "lin_r.weight", out, input);
                }
                if layer.project {
                    matrix(random, "lin.weight", input, input);
                    vector(true, "lin.bias", input);
                }
            }
            Op::Graphconv => {
                matrix(random, "lin_rel.weight", out, input);
                vector(layer.bias, "lin_rel.bias", out);
                if layer.root_weight {
                    matrix(random, "lin_root.weight", out, input);
                }
            }
            Op::Gin => {
                let batch = layer.mlp_norm.is_some();
                let (channels, mut inner) = (layer.mlp_channels(), input);
                for (map, &outer) in channels.iter().enumerate() {
                    let place = map * if batch { 3 } else { 2 };
                    matrix(random, &format!("nn.{place}.weight"), outer, inner);
                    vector(layer.bias, &format!("nn.{place}.bias"), outer);
                    for part in ["weight", "bias", "running_mean", "running_var"] {
                        vector(batch && map + 1 < channels.len(), &format!("nn.{}.{part}", place + 1), outer);
                    }
                    inner = outer;
                }
                vector(layer.train_eps, "eps", 1);
            }
            Op::Gat => {
                matrix(random, "lin.weight", heads * out, input);
                vector(true, "att_src", heads * out);
                vector(true, "att_dst", heads * out);
                vector(layer.bias, "bias", layer.width());
            }
            Op::Gatv2 => {
                matrix(random, "lin_l.weight", heads * out, input);
                vector(layer.bias, "lin_l.bias", heads * out);
                if !layer.share_weights {
                    matrix(random, "lin_r.weight", heads * out, input);
                    vector(layer.bias, "lin_r.bias", heads * out);
                }
                vector(true, "att", heads * out);
                vector(layer.bias, "bias", layer.width());
            }
        }
        for (name, length) in vectors {
            all.insert(format!("{}.{name}", layer.prefix), random_vector(random, &name, length));
        }
        if let Some(norm) = layer.norm {
            let parts: &[&str] = match norm {
                Norm::Batch => &["weight", "bias", "running_mean", "running_var"],
                Norm::Layer => &["weight", "bias"],
            };
            for part in parts {
                all.insert(format!("{}_norm.{part}", layer.prefix), random_vector(random, part, layer.width()));
            }
        }
    }
    all
}

fn random_vector(random: &mut Random, name: &str, length: usize) -> Array<f32> {
    let variance = name.ends_with("running_var");
    Array::vector((0..length).map(|_| if variance { 1.25 + random.number() } else { 0.5 * random.number() }).collect())
}

/// All that a run needs.
pub(crate) struct Setting {
    pub(crate) net: Net,
    pub(crate) graph: Graph,
    pub(crate) x: Array<f32>,
    pub(crate) features: Features,
    pub(crate) weights: Weights,
    pub(crate) model: Model,
}

impl Setting {
    pub(crate) fn random(seed: u64, ops: &[Op], nodes: usize) -> Setting {
        let random = &mut Random(seed);
        let spec = spec(random, ops);
        let x = features(random, nodes, spec.in_channels(), true);
        // What weights do to a maximum has a test of its own.
        let plain = spec.layers().iter().any(|layer| layer.op == Op::Graphconv && layer.reduce() == Reduce::Max);
        let weighted = random.below(3) == 0 && !plain;
        Setting::new(Net::random(random, nodes, weighted), x, weights(random, &spec), spec)
    }

    pub(crate) fn new(net: Net, x: Array<f32>, weights: Weights, spec: ModelSpec) -> Setting {
        let model = Model::new(spec, &weights).expect("a model");
        Setting { graph: net.graph(), net, features: Features::dense(x.clone()).expect("features"), x, weights, model }
    }

    pub(crate) fn planner(&self) -> Planner<'_> {
        Planner::new(&self.model, &self.graph, &self.features)
    }
}

/// Operations of a model of up to three layers.
pub(crate) fn ops(seed: u64) -> Vec<Op> {
    let random = &mut Random(seed ^ 0x5ca1_ab1e);
    let count = 1 + random.below(3);
    (0..count).map(|_| random.of(&OPS)).collect()
}

/// Runs, and sees that the facts and the certificate are as promised.
#[track_caller]
pub(crate) fn run(planner: Planner, what: &str) -> Solution {
    let plan = planner.plan().unwrap_or_else(|error| panic!("{what}: {error}"));
    // Rows are handed over: an output of the caller's is not in the plan's budget.
    let mut rows_out = Vec::new();
    let facts = plan.run_rows(Head::Logits, ignore_events, |_, rows| {
        rows_out.extend_from_slice(rows);
        Ok(())
    });
    let facts = facts.unwrap_or_else(|error| panic!("{what}: {error}\n{}", *plan));
    let columns = plan.output_columns();
    let output = Array::matrix(rows_out.len() / columns, columns, rows_out).expect("whole rows");
    let (status, warnings, certificate) = (Status::Done, plan.warnings(), certificate(&facts));
    let solution = Solution { output, facts, status, warnings, certificate };
    let facts = &solution.facts;
    assert_eq!(facts.bytes_read, facts.predicted_bytes_read, "{what}: bytes read\n{}", *plan);
    assert_eq!(facts.bytes_written, facts.predicted_bytes_written, "{what}: bytes written\n{}", *plan);
    assert!(facts.measured_peak <= facts.predicted_peak, "{what}: {facts:?}");
    assert_eq!(facts.predicted_peak, plan.predicted_peak, "{what}");
    assert_eq!(solution.certificate.verdict(), Verdict::Holds, "{what}: {}", solution.certificate);
    solution
}

pub(crate) fn bits(array: &Array<f32>) -> Vec<u32> {
    array.as_slice().iter().map(|v| v.to_bits()).collect()
}

#[track_caller]
pub(crate) fn same(a: &Array<f32>, b: &Array<f32>, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    if let Some(k) = (0..a.len()).find(|&k| a.as_slice()[k].to_bits() != b.as_slice()[k].to_bits()) {
        let (row, column) = (k / a.cols(), k % a.cols());
        panic!("{what}: row {row}, column {column}: {:?} against {:?}", a.as_slice()[k], b.as_slice()[k]);
    }
}

pub(crate) fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("the folder").count() == 0
}

/// The same graph in an `.npz` file that is not compressed.
pub(crate) fn npz_of(folder: &Path, name: &str, graph: &Graph) -> PathBuf {
    let path = folder.join(name);
    let mut writer = NpzWriter::create(&path).expect("a file");
    writer.add_scalar("num_nodes", graph.nodes() as u64).expect("a number");
    writer.add_slice("indptr", &[graph.nodes() + 1], graph.indptr()).expect("an array");
    writer.add_slice("indices", &[graph.edges()], graph.indices()).expect("an array");
    if let Some(weights) = graph.weights() {
        writer.add_slice("edge_weight", &[graph.edges()], weights).expect("an array");
    }
    writer.finish().expect("an archive");
    path
}

/// The same graph on disk.
pub(crate) fn on_disk(folder: &Path, graph: &Graph) -> GraphFile {
    let file = GraphFile::open(npz_of(folder, "graph.npz", graph)).expect("a graph");
    assert_eq!((file.stats(), file.has_loops(), file.max_degree()), (graph.stats(), graph.has_loops(), graph.max_degree() as u64));
    file
}

/// An `.npy` file of these bytes, whose header says this.
pub(crate) fn npy_file(folder: &Path, name: &str, descr: &str, fortran: bool, shape: &str, data: &[u8]) -> PathBuf {
    let fortran = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let header = format!("{header:width$}\n", width = padded - 1);
    let path = folder.join(name);
    let bytes = [b"\x93NUMPY\x01\x00", &(padded as u16).to_le_bytes()[..], header.as_bytes(), data].concat();
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// An `.npy` file of f32 in C order.
pub(crate) fn npy_of(folder: &Path, name: &str, x: &Array<f32>) -> PathBuf {
    let data = x.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    npy_file(folder, name, "'<f4'", false, &format!("({}, {})", x.rows(), x.cols()), &data)
}

pub(crate) type Rows = Vec<Vec<f64>>;

/// What the definitions give, and how well that can be computed.
pub(crate) struct Reference {
    pub(crate) output: Rows,
    /// The largest entry on the way, in magnitude.
    pub(crate) largest: f64,
    /// The smallest deviation or norm that a row was divided by.
    pub(crate) least_divisor: f64,
}

/// The definitions of section 3 of the spec, by dense adjacency and plain loops.
pub(crate) struct Evaluator<'a> {
    net: &'a Net,
    weights: &'a BTreeMap<String, Array<f32>>,
    layer: &'a LayerSpec,
    largest: f64,
    least_divisor: f64,
}

pub(crate) fn evaluate(spec: &ModelSpec, weights: &Weights, net: &Net, x: &Array<f32>) -> Reference {
    let mut h = (0..x.rows()).map(|i| x.row(i).iter().map(|&v| f64::from(v)).collect()).collect::<Rows>();
    let mut evaluator = Evaluator { net, weights: weights.tensors(), layer: &spec.layers()[0], largest: 0.0, least_divisor: f64::INFINITY };
    for layer in spec.layers() {
        evaluator.layer = layer;
        h = evaluator.whole_layer(&h);
    }
    Reference { output: h, largest: evaluator.largest, least_divisor: evaluator.least_divisor }
}

fn add(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn scaled(a: &Rows, by: f64) -> Rows {
    a.iter().map(|row| row.iter().map(|v| v * by).collect()).collect()
}

fn product(s: &Rows, h: &Rows) -> Rows {
    let columns = h.first().map_or(0, Vec::len);
    s.iter().map(|row| (0..columns).map(|c| row.iter().zip(h).map(|(w, h)| w * h[c]).sum()).collect()).collect()
}

impl Evaluator<'_> {
    fn tensor(&self, name: &str) -> &Array<f32> {
        &self.weights[&format!("{}.{name}", self.layer.prefix)]
    }

    fn vector(&self, name: &str) -> Vec<f64> {
        self.tensor(name).as_slice().iter().map(|&v| f64::from(v)).collect()
    }

    fn map(&self, h: &Rows, name: &str) -> Rows {
        let w = self.tensor(name);
        let dot = |row: &[f64], k: usize| row.iter().zip(w.row(k)).map(|(a, &b)| a * f64::from(b)).sum();
        h.iter().map(|row| (0..w.rows()).map(|k| dot(row, k)).collect()).collect()
    }

    fn biased(&self, h: &Rows, name: &str) -> Rows {
        if !self.layer.bias {
            return h.clone();
        }
        let bias = self.vector(name);
        h.iter().map(|row| row.iter().zip(&bias).map(|(a, b)| a + b).collect()).collect()
    }

    /// 3.1, as a matrix.
    fn operator(&self, loops: bool) -> Rows {
        let (n, layer) = (self.net.nodes, self.layer);
        let mut s = vec![vec![0.0; n]; n];
        let incoming = self.net.incoming();
        if !layer.normalize {
            for i in 0..n {
                for &(j, w) in &incoming[i] {
                    s[i][j] += w;
                }
            }
            return s;
        }
        for i in 0..n {
            let mut own = f64::from(layer.self_loop_weight);
            for &(j, w) in &incoming[i] {
                if loops && j == i {
                    // A loop of a weighted graph keeps its weight, the last one if there are several.
                    if self.net.weights.is_some() {
                        own = w;
                    }
                } else {
                    s[i][j] += w;
                }
            }
            if loops {
                s[i][i] = own;
            }
        }
        let q = s.iter().map(|row| row.iter().sum::<f64>()).map(|deg| if deg == 0.0 { 0.0 } else { deg.powf(-0.5) }).collect::<Vec<_>>();
        for i in 0..n {
            for j in 0..n {
                s[i][j] *= q[i] * q[j];
            }
        }
        s
    }

    fn aggregate(&self, h: &Rows, reduce: Reduce, weighted: bool) -> Rows {
        let columns = h.first().map_or(0, Vec::len);
        let of = |row: &Vec<(usize, f64)>, c: usize| {
            let entries = row.iter().map(|&(j, w)| h[j][c] * if weighted { w } else { 1.0 });
            if row.is_empty() {
                return 0.0;
            }
            match reduce {
                Reduce::Sum => entries.sum(),
                Reduce::Mean => entries.sum::<f64>() / row.len() as f64,
                Reduce::Max => entries.fold(f64::NEG_INFINITY, f64::max),
                Reduce::Min => entries.fold(f64::INFINITY, f64::min),
            }
        };
        self.net.incoming().iter().map(|row| (0..columns).map(|c| of(row, c)).collect()).collect()
    }

    /// 3.5 and 3.6: heads of `z`, weighted by the softmax of scores.
    fn attention(&mut self, z: &Rows, score: impl Fn(usize, usize, usize) -> f64) -> Rows {
        let (layer, n) = (self.layer, self.net.nodes);
        let (heads, c) = (layer.heads, layer.out_channels);
        let incoming = self.net.incoming();
        let mut out = vec![vec![0.0; heads * c]; n];
        for i in 0..n {
            let mut sources = incoming[i].iter().map(|&(j, _)| j).collect::<Vec<_>>();
            if layer.add_self_loops {
                sources.retain(|&j| j != i);
                sources.push(i);
            }
            for h in 0..heads {
                let scores = sources.iter().map(|&j| score(i, j, h)).collect::<Vec<_>>();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total = scores.iter().map(|e| (e - largest).exp()).sum::<f64>();
                for (&j, e) in sources.iter().zip(&scores) {
                    for k in 0..c {
                        out[i][h * c + k] += (e - largest).exp() / total * z[j][h * c + k];
                    }
                }
            }
        }
        if !layer.concat {
            let mean = |row: &Vec<f64>| (0..c).map(|k| (0..heads).map(|h| row[h * c + k]).sum::<f64>() / heads as f64).collect();
            out = out.iter().map(mean).collect();
        }
        self.biased(&out, "bias")
    }

    fn op(&mut self, h: &Rows) -> Rows {
        let layer = self.layer;
        let slope = f64::from(layer.negative_slope);
        let leaky = |x: f64| if x > 0.0 { x } else { slope * x };
        let (heads, c) = (layer.heads, layer.out_channels);
        let loops = layer.add_self_loops;
        match layer.op {
            Op::Linear => self.biased(&self.map(h, "weight"), "bias"),
            Op::Jk => unreachable!("it has a test of its own"),
            Op::Gcn => self.biased(&product(&self.operator(loops), &self.map(h, "lin.weight")), "bias"),
            Op::Sgc => {
                let s = self.operator(loops);
                let z = (0..layer.steps()).fold(h.clone(), |h, _| product(&s, &h));
                self.biased(&self.map(&z, "lin.weight"), "lin.bias")
            }
            Op::Appnp => {
                let (s, alpha) = (self.operator(loops), f64::from(layer.alpha.expect("alpha")));
                (0..layer.steps()).fold(h.clone(), |k, _| add(&scaled(&product(&s, &k), 1.0 - alpha), &scaled(h, alpha)))
            }
            Op::Tag => {
                let s = self.operator(false);
                let mut power = h.clone();
                let mut out = self.map(&power, "lins.0.weight");
                for k in 1..=layer.steps() {
                    power = product(&s, &power);
                    out = add(&out, &self.map(&power, &format!("lins.{k}.weight")));
                }
                self.biased(&out, "bias")
            }
            Op::Sage => {
                let neighbours = if layer.project {
                    let bias = self.vector("lin.bias");
                    let relu = |row: &Vec<f64>| row.iter().zip(&bias).map(|(x, b)| (x + b).max(0.0)).collect();
                    self.map(h, "lin.weight").iter().map(relu).collect()
                } else {
                    h.clone()
                };
                let aggregated = self.aggregate(&neighbours, layer.aggr.unwrap_or(Reduce::Mean), false);
                let mut out = self.biased(&self.map(&aggregated, "lin_l.weight"), "lin_l.bias");
                if layer.root_weight {
                    out = add(&out, &self.map(h, "lin_r.weight"));
                }
                if layer.l2_normalize {
                    for row in &mut out {
                        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                        if norm > 0.0 {
                            self.least_divisor = self.least_divisor.min(norm);
                        }
                        row.iter_mut().for_each(|x| *x /= norm.max(1e-12));
                    }
                }
                out
            }
            Op::Graphconv => {
                let aggregated = self.aggregate(h, layer.aggr.unwrap_or(Reduce::Sum), true);
                let out = self.biased(&self.map(&aggregated, "lin_rel.weight"), "lin_rel.bias");
                if layer.root_weight { add(&out, &self.map(h, "lin_root.weight")) } else { out }
            }
            Op::Gin => {
                let eps = if layer.train_eps { self.vector("eps")[0] } else { f64::from(layer.eps) };
                let sum = add(&scaled(h, 1.0 + eps), &self.aggregate(h, Reduce::Sum, false));
                let (batch, maps) = (layer.mlp_norm.is_some(), layer.mlp_channels().len());
                let mut x = sum;
                for map in 0..maps {
                    let place = map * if batch { 3 } else { 2 };
                    x = self.biased(&self.map(&x, &format!("nn.{place}.weight")), &format!("nn.{place}.bias"));
                    if batch && map + 1 < maps {
                        x = self.batch_norm(&x, &format!("{}.nn.{}", layer.prefix, place + 1));
                    }
                    if map + 1 < maps {
                        x.iter_mut().flatten().for_each(|x| *x = x.max(0.0));
                    }
                }
                x
            }
            Op::Gat => {
                let z = self.map(h, "lin.weight");
                let (source, target) = (self.vector("att_src"), self.vector("att_dst"));
                let dot = |row: &[f64], a: &[f64], h: usize| (h * c..(h + 1) * c).map(|k| row[k] * a[k]).sum::<f64>();
                let of = z.clone();
                self.attention(&z, |i, j, h| leaky(dot(&of[j], &source, h) + dot(&of[i], &target, h)))
            }
            Op::Gatv2 => {
                let left = self.biased(&self.map(h, "lin_l.weight"), "lin_l.bias");
                let right = if layer.share_weights { left.clone() } else { self.biased(&self.map(h, "lin_r.weight"), "lin_r.bias") };
                let (att, l) = (self.vector("att"), left.clone());
                assert_eq!(att.len(), heads * c);
                self.attention(&left, |i, j, h| (h * c..(h + 1) * c).map(|k| att[k] * leaky(l[j][k] + right[i][k])).sum())
            }
        }
    }

    fn batch_norm(&self, h: &Rows, name: &str) -> Rows {
        let get = |part: &str| self.weights[&format!("{name}.{part}")].as_slice();
        let (w, b, mean, var) = (get("weight"), get("bias"), get("running_mean"), get("running_var"));
        let of = |k: usize, x: f64| (x - f64::from(mean[k])) / (f64::from(var[k]) + 1e-5).sqrt() * f64::from(w[k]) + f64::from(b[k]);
        h.iter().map(|row| row.iter().enumerate().map(|(k, &x)| of(k, x)).collect()).collect()
    }

    fn whole_layer(&mut self, h: &Rows) -> Rows {
        let layer = self.layer;
        let mut out = self.op(h);
        self.see(&out);
        match layer.norm {
            None => {}
            Some(Norm::Batch) => out = self.batch_norm(&out, &format!("{}_norm", layer.prefix)),
            Some(Norm::Layer) => {
                let get = |part: &str| self.weights[&format!("{}_norm.{part}", layer.prefix)].as_slice().to_vec();
                let (w, b) = (get("weight"), get("bias"));
                for row in &mut out {
                    let n = row.len() as f64;
                    let mean = row.iter().sum::<f64>() / n;
                    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                    // A row of zeros, or of one column, is its own mean exactly.
                    if row.len() > 1 && variance > 0.0 {
                        self.least_divisor = self.least_divisor.min(variance.sqrt());
                    }
                    for (k, x) in row.iter_mut().enumerate() {
                        *x = (*x - mean) / (variance + 1e-5).sqrt() * f64::from(w[k]) + f64::from(b[k]);
                    }
                }
            }
        }
        self.see(&out);
        for x in out.iter_mut().flatten() {
            *x = match layer.activation {
                Activation::None => *x,
                Activation::Relu => x.max(0.0),
                Activation::Elu => {
                    if *x > 0.0 {
                        *x
                    } else {
                        x.exp_m1()
                    }
                }
                Activation::Leakyrelu => {
                    if *x > 0.0 {
                        *x
                    } else {
                        0.01 * *x
                    }
                }
                Activation::Tanh => x.tanh(),
                Activation::Sigmoid => 1.0 / (1.0 + (-*x).exp()),
            };
        }
        if layer.skip { add(&out, h) } else { out }
    }

    fn see(&mut self, h: &Rows) {
        self.largest = h.iter().flatten().fold(self.largest, |a, v| a.max(v.abs()));
    }
}
