//! Keeps the simulated API server honest: the same random requests are put to it and to the real one,
//! and the answers are compared, in their codes, reasons, generations and in which writes made a new
//! version.

#[expect(dead_code, reason = "the simulation uses the rest")]
#[path = "../fixtures/apiserver.rs"]
mod apiserver;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http_body_util::BodyExt;
use hyper::Request as HttpRequest;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use kube::client::Body;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use self::apiserver::kinds::{OBJECTS, PODS, RECORDS, Resource};
use self::apiserver::{ApiServer, Part, Request, Verb, uid, version};

/// Requests of one run.
const REQUESTS: usize = 400;

/// Both servers, and which object of the one is which of the other.
struct Pair {
    real: Client,
    simulated: ApiServer,
    namespace: String,
    /// The last answer of each with each object: real, simulated.
    known: BTreeMap<(&'static str, String), (Value, Value)>,
    trail: String,
}

/// What is compared of an answer.
#[derive(Debug, PartialEq)]
struct Gist {
    code: u16,
    reason: String,
    generation: Option<i64>,
    is_leaving: bool,
    grace: Option<i64>,
    finalizers: Value,
    replicas: Option<i64>,
    /// The object is in another version than before.
    is_new: bool,
}

fn gist(code: u16, answer: &Value, before: Option<&Value>) -> Gist {
    let metadata = &answer["metadata"];
    let is_object = code < 300 && answer["kind"] != "Status";
    let known = before.map_or("", version);
    Gist {
        code,
        reason: answer["reason"].as_str().unwrap_or_default().into(),
        generation: metadata["generation"].as_i64(),
        is_leaving: metadata["deletionTimestamp"].is_string(),
        grace: metadata["deletionGracePeriodSeconds"].as_i64(),
        finalizers: metadata["finalizers"].clone(),
        replicas: answer["spec"]["replicas"].as_i64(),
        // Who manages a field is not kept by the simulated one, and a scale that changes nothing else
        // changes that.
        is_new: is_object && answer["kind"] != "Scale" && version(answer) != known,
    }
}

/// Chance, the same in each run (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap_or(0) % n
    }
}

/// A request, with the names of versions and UIDs still open: they differ between the servers.
struct Draft {
    request: Request,
    /// Where the version and the UID that are known go, and whether they are right ones.
    guard: Guard,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Guard {
    None,
    Right,
    WrongVersion,
    WrongUid,
}

fn draft(chance: &mut Chance, namespace: &str) -> Draft {
    let resources: [&'static Resource; 3] = [&OBJECTS, &PODS, &RECORDS];
    let resource = resources[chance.below(3)];
    let name = ["a", "b"][chance.below(2)];
    // No controller looks after these here: one of ReplicaSets would write in between.
    let is_scaled = *resource == OBJECTS;
    let verbs = [
        Verb::Create,
        Verb::Get,
        Verb::MergePatch,
        Verb::MergePatch,
        Verb::Update,
        Verb::Delete,
    ];
    let verb = verbs[chance.below(verbs.len())];
    let part = match (verb, chance.below(3)) {
        (Verb::MergePatch | Verb::Get, 0) if is_scaled => Part::Scale,
        (Verb::MergePatch, 1) if resource.has_status => Part::Status,
        _ => Part::Whole,
    };
    let guards = [
        Guard::None,
        Guard::Right,
        Guard::WrongVersion,
        Guard::WrongUid,
    ];
    let guard = match verb {
        Verb::Create | Verb::Get => Guard::None,
        _ => guards[chance.below(4)],
    };
    let number = chance.below(4);
    let body = match (verb, part) {
        (Verb::Create, _) => object(resource, name, number),
        (Verb::MergePatch, Part::Status) if is_scaled => json!({"status": {"replicas": number}}),
        (Verb::MergePatch, Part::Status) => json!({"status": {"message": number.to_string()}}),
        (Verb::MergePatch, Part::Scale) => json!({"spec": {"replicas": number}}),
        (Verb::MergePatch | Verb::Update, _) => change(chance, resource, number),
        (Verb::Delete, _) => match chance.below(4) {
            // The policies that wait are the garbage collector's to end, in its own time.
            0 => json!({"gracePeriodSeconds": 0}),
            _ => json!({"propagationPolicy": "Background"}),
        },
        _ => json!({}),
    };
    let name = if verb == Verb::Create { "" } else { name };
    Draft {
        request: Request {
            verb,
            resource,
            part,
            namespace: namespace.into(),
            name: name.into(),
            body,
        },
        guard,
    }
}

fn object(resource: &Resource, name: &str, number: usize) -> Value {
    let pod = json!({"containers": [{"name": "app", "image": "none"}]});
    let labels = json!({"app": name});
    let mut object = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "labels": labels},
    });
    match resource.kind {
        "GracefulDeployment" => {
            object["spec"] = json!({
                "replicas": number,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            });
        }
        // On a node without a kubelet: nobody moves it.
        "Pod" => {
            object["spec"] = pod;
            object["spec"]["nodeName"] = json!("nowhere");
        }
        _ => {
            object["revision"] = json!(number);
            object["data"] = json!({});
        }
    }
    object
}

fn change(chance: &mut Chance, resource: &Resource, number: usize) -> Value {
    match chance.below(4) {
        0 => json!({"metadata": {"annotations": {"note": number.to_string()}}}),
        1 => json!({"metadata": {"labels": {"note": number.to_string()}}}),
        2 if resource.kind == "GracefulDeployment" => json!({"spec": {"replicas": -1}}),
        2 => json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        _ => json!({"metadata": {"finalizers": null}}),
    }
}

/// The request as it is put to one of the servers, which knows this object.
fn guarded(draft: &Draft, known: Option<&Value>) -> Request {
    let mut request = draft.request.clone();
    let (right_uid, right_version) = known.map_or(("none", "1"), |one| (uid(one), version(one)));
    let (uid, version) = match draft.guard {
        Guard::None => (None, None),
        Guard::Right => (Some(right_uid), Some(right_version)),
        Guard::WrongVersion => (None, Some("1")),
        Guard::WrongUid => (Some("00000000-0000-0000-0000-000000000000"), None),
    };
    if request.verb == Verb::Update {
        // An update is of the whole object, as it is known.
        let mut whole = known
            .cloned()
            .unwrap_or_else(|| object(request.resource, &request.name, 0));
        if let Some(metadata) = whole["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        if let Some(annotations) = request.body.pointer("/metadata/annotations") {
            whole["metadata"]["annotations"] = annotations.clone();
        }
        request.body = whole;
    }
    let key = if request.verb == Verb::Delete {
        "preconditions"
    } else {
        "metadata"
    };
    if let Some(uid) = uid {
        request.body[key]["uid"] = json!(uid);
    }
    if let Some(version) = version {
        request.body[key]["resourceVersion"] = json!(version);
    }
    request
}

impl Pair {
    async fn ask(&mut self, draft: &Draft) {
        let request = &draft.request;
        let named = match request.verb {
            Verb::Create => apiserver::name(&request.body),
            _ => &request.name,
        };
        let key = (request.resource.plural, named.to_owned());
        let (real_known, simulated_known) = self.known.get(&key).cloned().unzip();
        let real_request = guarded(draft, real_known.as_ref());
        let simulated_request = guarded(draft, simulated_known.as_ref());
        let (code, real) = self.ask_real(&real_request).await;
        let answer = self.simulated.call(&simulated_request, Timestamp::now());
        let (simulated_code, simulated) = apiserver::http::written(request.verb, answer, false);
        let of_real = gist(code, &real, real_known.as_ref());
        let of_simulated = gist(simulated_code, &simulated, simulated_known.as_ref());
        let _ = writeln!(
            self.trail,
            "{:?} {} {named} {:?} {:?} {} -> {code}",
            request.verb, request.resource.plural, request.part, draft.guard, request.body
        );
        assert_eq!(
            of_simulated, of_real,
            "simulated, real\n{}\nreal {real}\nsimulated {simulated}",
            self.trail
        );
        self.look(request.resource, key).await;
    }

    /// What both have of an object now: controllers of the real one may have written to it.
    async fn look(&mut self, resource: &'static Resource, key: (&'static str, String)) {
        let get = Request {
            verb: Verb::Get,
            resource,
            part: Part::Whole,
            namespace: self.namespace.clone(),
            name: key.1.clone(),
            body: json!({}),
        };
        let (code, real) = self.ask_real(&get).await;
        let simulated = self.simulated.call(&get, Timestamp::now());
        match (code, simulated) {
            (200, Ok(simulated)) => {
                self.known.insert(key, (real, simulated));
            }
            (404, Err(_)) => {
                self.known.remove(&key);
            }
            (code, simulated) => panic!("{code} and {simulated:?}\n{}", self.trail),
        }
    }

    async fn ask_real(&self, request: &Request) -> (u16, Value) {
        let resource = request.resource;
        let root = if resource.group().is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let mut path = format!(
            "{root}/{}/namespaces/{}/{}",
            resource.api_version, request.namespace, resource.plural
        );
        if !request.name.is_empty() {
            let _ = write!(path, "/{}", request.name);
        }
        path.push_str(match request.part {
            Part::Whole => "",
            Part::Status => "/status",
            Part::Scale => "/scale",
        });
        let (method, content) = match request.verb {
            Verb::Get | Verb::List => ("GET", "application/json"),
            Verb::Create => ("POST", "application/json"),
            Verb::Update => ("PUT", "application/json"),
            Verb::MergePatch => ("PATCH", "application/merge-patch+json"),
            Verb::Delete => ("DELETE", "application/json"),
        };
        let body = if method == "GET" {
            Vec::new()
        } else {
            request.body.to_string().into_bytes()
        };
        let http = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(Body::from(body))
            .unwrap();
        let response = self.real.send(http).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or_default())
    }
}

#[tokio::test]
async fn simulated_api_server_answers_as_the_real_one() {
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "no cluster: run cargo xtask test cluster"
    );
    crate::crd::install();
    let real = Client::try_default().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(real.clone());
    let name = format!("conformance-{}", std::process::id());
    let namespace = json!({"metadata": {"name": name}});
    let namespace = serde_json::from_value(namespace).unwrap();
    let made = namespaces.create(&PostParams::default(), &namespace).await;
    let mut pair = Pair {
        real,
        simulated: ApiServer::default(),
        namespace: made.unwrap().name_any(),
        known: BTreeMap::new(),
        trail: String::new(),
    };
    let mut chance = Chance(7);
    for _ in 0..REQUESTS {
        let draft = draft(&mut chance, &name);
        pair.ask(&draft).await;
    }
    let _ = namespaces.delete(&name, &DeleteParams::default()).await;
}
