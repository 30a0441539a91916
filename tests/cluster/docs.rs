//! The commands that the pages of docs/ show, run as they stand there, in a namespace that has what the pages
//! speak of. What is not run here is named with the test that runs it, or with the reason.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{Graceful, WEB, World, run};

/// Pages whose commands are run, in their order.
const PAGES: [&str; 2] = ["how-to/migrate.md", "troubleshooting.md"];

/// Beginnings of commands that are not run, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "cargo xtask demo",
        "a demo of its own, which ends with an error where it fails",
    ),
    (
        "helm install graceful-deployment",
        "chart::lifecycle installs the chart by each helm",
    ),
    (
        "kubectl apply --filename - <<'EOF'",
        "chart::render::notes_can_be_pasted has the same object",
    ),
    (
        "kubectl patch gd hello",
        "the chart's notes have it in the same words",
    ),
    ("kubectl get gd hello --watch", "does not end by itself"),
    (
        "kubectl get --raw /api/v1/namespaces",
        "asks a pod, which is e2e's",
    ),
    (
        "kubectl --namespace graceful-system logs",
        "asks a pod, which is e2e's",
    ),
    (
        "kubectl taint node NODE node.kubernetes.io/out-of-service",
        "nodes::vanished of e2e loses a node, and says so in these words",
    ),
];

/// The commands of a page's shell blocks; one that goes on over lines is its first line.
fn commands(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut commands = Vec::new();
    let (mut is_shell, mut is_inner) = (false, false);
    for line in text.lines() {
        match line {
            "```sh" => is_shell = true,
            "```" => is_shell = false,
            "EOF" => is_inner = false,
            _ if is_shell && !is_inner => {
                is_inner = line.ends_with("<<'EOF'");
                commands.push(line.to_owned());
            }
            _ => {}
        }
    }
    commands
}

fn is_elsewhere(command: &str) -> bool {
    ELSEWHERE
        .iter()
        .any(|(begin, _)| command.starts_with(begin))
}

/// Every page with shell blocks.
fn all_pages(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all_pages(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
            let page = path.strip_prefix(docs).expect("below docs");
            found.push(page.to_string_lossy().into_owned());
        }
    }
}

#[test]
fn every_command_is_run_somewhere() {
    let mut pages = Vec::new();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    all_pages(&docs, &mut pages);
    for page in pages
        .iter()
        .filter(|page| !page.starts_with("measurements/"))
    {
        for command in commands(page) {
            let is_run = PAGES.contains(&page.as_str()) || is_elsewhere(&command);
            assert!(is_run, "{page}: {command}");
        }
    }
}

/// A shell in a folder with the manifests that the pages name, whose kubectl is in the world's namespace.
struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    async fn of(world: &World<Graceful>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shell = Self { folder };
        for (file, api, kind) in [
            ("chat.yaml", "graceful.dev/v1alpha1", "GracefulDeployment"),
            ("chat-deployment.yaml", "apps/v1", "Deployment"),
        ] {
            let mut object = json!({
                "apiVersion": api, "kind": kind, "metadata": {"name": "chat"},
                "spec": {
                    "replicas": 3, "selector": {"matchLabels": {"app": WEB}},
                    "template": World::<Graceful>::template("web:1"),
                },
            });
            if kind == "GracefulDeployment" {
                // Routes, which nothing here has, need no time.
                object["spec"]["drain"] = json!({"minSeconds": 0, "quietSeconds": 0});
            }
            std::fs::write(shell.folder.path().join(file), object.to_string()).expect("written");
        }
        let config = shell
            .run("kubectl config view --raw --flatten --output=json")
            .await;
        let mut config: Value = serde_json::from_str(&config).expect("JSON");
        config["contexts"][0]["context"]["namespace"] = json!(world.namespace);
        let path = shell.folder.path().join("kubeconfig");
        std::fs::write(path, config.to_string()).expect("written");
        shell
    }

    /// Runs a command to its end, without holding up who watches meanwhile; what it prints.
    async fn run(&self, command: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.folder.path());
        let kubeconfig = self.folder.path().join("kubeconfig");
        if kubeconfig.exists() {
            shell.env("KUBECONFIG", kubeconfig);
        }
        let output = tokio::task::spawn_blocking(move || shell.output()).await;
        let output = output.expect("it ends").expect("started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}{error}");
        said
    }

    async fn run_page(&self, page: &str, namespace: &str) {
        for command in commands(page) {
            if is_elsewhere(&command) {
                continue;
            }
            let mut command = command
                .replace("NAMESPACE", namespace)
                .replace("NAME", "chat");
            if command.contains("POD") {
                let first = "kubectl get pods --output name | head -1";
                let pod = self.run(first).await;
                let pod = pod.trim().trim_start_matches("pod/").to_owned();
                command = command.replace("POD", &pod);
            }
            self.run(&command).await;
        }
    }
}

/// B06.
#[test]
fn commands_of_the_migration_do_what_they_say() {
    run::<Graceful, _>("migrate", |world| async move {
        let shell = Shell::of(&world).await;
        let serves = "kubectl rollout status deployment chat --timeout 90s";
        shell
            .run("kubectl apply --filename chat-deployment.yaml")
            .await;
        shell.run(serves).await;
        shell.run_page(PAGES[0], &world.namespace).await;
        shell.run(serves).await;
    });
}

#[test]
fn commands_for_3_a_m_do_what_they_say() {
    run::<Graceful, _>("night", |world| async move {
        let shell = Shell::of(&world).await;
        shell.run("kubectl apply --filename chat.yaml").await;
        shell
            .run("kubectl wait gd chat --for condition=Ready --timeout 90s")
            .await;
        shell.run_page(PAGES[1], &world.namespace).await;
    });
}
