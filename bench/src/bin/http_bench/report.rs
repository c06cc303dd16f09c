//! The table.

use serde_json::{Map, Value, json};

/// One measured line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Which server, and what it was asked for.
    pub(crate) server: String,
    /// Connections at once.
    pub(crate) connections: u32,
    /// Requests (or messages) answered.
    pub(crate) requests: u64,
    /// CPU time of the server per request, in microseconds.
    pub(crate) cpu_us_per_request: f64,
    /// Further figures, by name.
    pub(crate) more: Vec<(&'static str, String)>,
}

/// All lines.
pub(crate) struct Report {
    json: bool,
    lines: Vec<(Line, Option<f64>)>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, lines: Vec::new() }
    }

    /// nginx's cost per request at this number of connections, or at the nearest that was measured.
    fn nginx(&self, connections: u32) -> Option<f64> {
        let lines = self.lines.iter().map(|(line, _)| line).filter(|line| line.server == "nginx");
        lines.min_by_key(|line| line.connections.abs_diff(connections)).map(|line| line.cpu_us_per_request)
    }

    /// Adds a line; its ratio is that to nginx's static route.
    pub(crate) fn add(&mut self, line: Line) {
        let nginx =
            if line.server == "nginx" { Some(line.cpu_us_per_request) } else { self.nginx(line.connections) };
        let ratio = nginx.map(|nginx| line.cpu_us_per_request / nginx);
        eprintln!(
            "{:<28} {:>6} connections: {:.2} µs CPU",
            line.server, line.connections, line.cpu_us_per_request
        );
        self.lines.push((line, ratio));
    }

    /// Prints all.
    pub(crate) fn print(&self) {
        if self.json {
            let list: Vec<Value> = self.lines.iter().map(|(line, ratio)| entry(line, *ratio)).collect();
            println!("{:#}", Value::Array(list));
            return;
        }
        println!("| server | connections | requests | CPU per request | ratio to nginx | more |");
        println!("|---|---|---|---|---|---|");
        for (line, ratio) in &self.lines {
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let more: Vec<String> = line.more.iter().map(|(name, value)| format!("{name} {value}")).collect();
            println!(
                "| {} | {} | {} | {:.2} µs | {ratio} | {} |",
                line.server,
                line.connections,
                line.requests,
                line.cpu_us_per_request,
                more.join(", ")
            );
        }
    }
}

fn entry(line: &Line, ratio: Option<f64>) -> Value {
    let mut object = Map::new();
    object.insert("server".to_owned(), json!(line.server));
    object.insert("connections".to_owned(), json!(line.connections));
    object.insert("requests".to_owned(), json!(line.requests));
    object.insert("cpu_us_per_request".to_owned(), json!(line.cpu_us_per_request));
    object.insert("ratio_to_nginx".to_owned(), json!(ratio));
    for (name, value) in &line.more {
        object.insert((*name).to_owned(), json!(value));
    }
    Value::Object(object)
}
