//! The real kube-state-metrics with the configuration of integrations/kube-state-metrics: each number that it tells
//! of an object is the one that stands in the object. Only `cargo xtask test state-metrics` runs it, because
//! building that program takes minutes.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::standin::orders::Manner;
use crate::world::{Graceful, WEB, World};
use graceful::api::farewell::Exit;

/// Where the program is, from the one who runs this.
const PROGRAM: &str = "KUBE_STATE_METRICS";

const CONFIGURATION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/integrations/kube-state-metrics/configuration.yaml"
);

/// Ends with the test.
struct StateMetrics {
    process: Child,
    port: u16,
}

impl StateMetrics {
    fn start() -> Self {
        let program = std::env::var_os(PROGRAM).expect("run `cargo xtask test state-metrics`");
        let kubeconfig = std::env::var("KUBECONFIG").expect("a cluster");
        let [port, telemetry] = [(); 2].map(|()| free_port());
        let process = Command::new(program)
            .arg(format!(
                "--custom-resource-state-config-file={CONFIGURATION}"
            ))
            .arg("--custom-resource-state-only")
            .arg(format!("--kubeconfig={kubeconfig}"))
            .args(["--host=127.0.0.1", "--telemetry-host=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--telemetry-port={telemetry}"))
            .stdout(Stdio::null())
            .spawn()
            .expect("start kube-state-metrics");
        Self { process, port }
    }

    /// What it tells now; nothing while it starts.
    async fn scrape(&self) -> String {
        let mut text = String::new();
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else {
            return text;
        };
        let request = "GET /metrics HTTP/1.0\r\nHost: metrics\r\n\r\n";
        if stream.write_all(request.as_bytes()).await.is_ok() {
            // What was cut short is asked for again.
            let _ = stream.read_to_string(&mut text).await;
        }
        text
    }
}

impl Drop for StateMetrics {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A value as Prometheus has it.
fn number(value: &Value) -> Option<f64> {
    let seconds = |text: &str| {
        let at: jiff::Timestamp = text.parse().ok()?;
        format!("{}", at.as_second()).parse().ok()
    };
    match value {
        Value::Bool(is_so) => Some(f64::from(u8::from(*is_so))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text == "True" => Some(1.0),
        Value::String(text) if ["False", "Unknown"].contains(&text.as_str()) => Some(0.0),
        Value::String(text) => seconds(text),
        _ => None,
    }
}

/// The one value of a metric with these labels.
fn told(page: &str, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut found = page.lines().filter(|line| {
        let is_metric = line.starts_with(&format!("{metric}{{"));
        let has = |(name, value): &(&str, &str)| line.contains(&format!("{name}=\"{value}\""));
        is_metric && labels.iter().all(has)
    });
    let value = found.next()?.rsplit(' ').next()?.parse().ok();
    assert_eq!(found.next(), None, "{metric} {labels:?}");
    value
}

fn pointer(path: &Value) -> String {
    let parts = path.as_array().into_iter().flatten();
    parts.fold(String::new(), |pointer, part| {
        format!("{pointer}/{}", part.as_str().expect("a name"))
    })
}

/// What is to be told: a metric, its labels beside the object's name, and the value.
struct Sample {
    metric: String,
    labels: Vec<(&'static str, String)>,
    value: f64,
}

/// What each metric of the configuration is to say of the object.
fn expected(object: &Value) -> Vec<Sample> {
    let text = std::fs::read(CONFIGURATION).expect("the configuration");
    let configuration: Value = serde_yaml_ng::from_slice(&text).expect("YAML");
    let resource = &configuration["spec"]["resources"][0];
    let prefix = resource["metricNamePrefix"].as_str().expect("a prefix");
    let mut all = Vec::new();
    for metric in resource["metrics"].as_array().expect("metrics") {
        let name = format!("{prefix}_{}", metric["name"].as_str().expect("a name"));
        let gauge = &metric["each"]["gauge"];
        let found = object.pointer(&pointer(&gauge["path"]));
        let found = found.unwrap_or_else(|| panic!("{name} is not in {object}"));
        let sample = |labels, value| Sample {
            metric: name.clone(),
            labels,
            value: number(value).expect("a number"),
        };
        match found {
            Value::Array(conditions) => all.extend(conditions.iter().map(|condition| {
                let text = |key: &str| condition[key].as_str().expect("a text").to_owned();
                let labels = [("condition", text("type")), ("reason", text("reason"))];
                sample(labels.to_vec(), &condition["status"])
            })),
            Value::Object(codes) => {
                let codes = codes.iter();
                all.extend(codes.map(|(code, count)| sample(vec![("code", code.clone())], count)));
            }
            one => all.push(sample(vec![], one)),
        }
    }
    all
}

/// What it does not tell as it stands in the object.
fn wrong(page: &str, object: &Value, namespace: &str) -> Vec<String> {
    let own = [("namespace", namespace), ("gracefuldeployment", WEB)];
    let mut wrong = Vec::new();
    for Sample {
        metric,
        labels,
        value,
    } in expected(object)
    {
        let more = labels.iter().map(|(key, value)| (*key, value.as_str()));
        let labels: Vec<_> = own.into_iter().chain(more).collect();
        let told = told(page, &metric, &labels);
        if told != Some(value) {
            wrong.push(format!("{metric} {labels:?}: {told:?}, and not {value}"));
        }
    }
    wrong
}

async fn object(world: &World<Graceful>) -> Value {
    let object = world.objects().get(WEB).await.expect("the object");
    serde_json::to_value(object).expect("JSON")
}

#[test]
fn kube_state_metrics_tells_what_stands_in_the_object() {
    crate::world::run::<Graceful, _>("state-metrics", |world| async move {
        let said = Exit {
            shutdown: Some(1_200),
            busy: 3,
            open: 5,
            ..Exit::default()
        };
        let manner = Manner {
            said,
            code: 137,
            ..Manner::default()
        };
        world.order("web:1", manner);
        world.create_complete(2, json!({})).await;
        world.set_image("web:2").await;
        world.complete().await;
        let metrics = StateMetrics::start();
        let told = async || {
            let (page, object) = (metrics.scrape().await, object(&world).await);
            let wrong = wrong(&page, &object, &world.namespace);
            if !wrong.is_empty() && !page.is_empty() {
                println!("{wrong:#?}");
            }
            wrong.is_empty()
        };
        world.until_so("all is told as it is", told).await;
        let object = object(&world).await;
        let cut = &object["status"]["lastRollout"]["connectionsCut"];
        assert!(cut.as_i64() > Some(0), "{object}");
        // A drain that goes on is told of while it does.
        world.order("web:2", Manner::busy());
        world.set_image("web:3").await;
        let metric = "kube_gracefuldeployment_status_replicas_draining";
        let labels = [("namespace", world.namespace.as_str())];
        let drains = async || self::told(&metrics.scrape().await, metric, &labels) >= Some(1.0);
        world.until_so("a drain is told of", drains).await;
        world.order("web:2", Manner::default());
        world.complete().await;
    });
}
