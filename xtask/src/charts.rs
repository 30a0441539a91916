//! The page of each chart, which registries of charts show: how it is installed, and a table of its values,
//! from the schema's words and the defaults of values.yaml. It knows nothing of what a value does.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The charts, from the root, and what is said of each before its values.
const CHARTS: [(&str, &str); 2] = [
    (
        "charts/graceful-deployment",
        "\
Installs the operator for `GracefulDeployment`, its CustomResourceDefinition, and the rights that it needs. What it
is and how it is used stands in the repository's README.

```sh
helm install graceful-deployment charts/graceful-deployment --namespace graceful-system --create-namespace
helm test graceful-deployment --namespace graceful-system
```

`helm uninstall` refuses while GracefulDeployments exist and says what would become of them; with `--no-hooks` it does
not ask. Pods stay and serve, and so does the CustomResourceDefinition, unless `crds.keep` is false.
",
    ),
    (
        "charts/graceful-deployment-crds",
        "\
Installs the CustomResourceDefinition of `GracefulDeployment` alone, where another team than the operator's does that.
The chart graceful-deployment is then told not to bring its own.

```sh
helm install graceful-deployment-crds charts/graceful-deployment-crds --namespace graceful-system --create-namespace
helm install graceful-deployment charts/graceful-deployment --namespace graceful-system --set crds.enabled=false
```
",
    ),
];

/// Every page with its place.
pub(crate) fn pages(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    CHARTS
        .iter()
        .map(|(chart, words)| {
            let folder = root.join(chart);
            let page = page(&folder, words).with_context(|| format!("write about {chart}"))?;
            Ok((folder.join("README.md"), page))
        })
        .collect()
}

fn page(folder: &Path, words: &str) -> Result<String> {
    let read = |file: &str| {
        let path = folder.join(file);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let schema: Value = serde_json::from_str(&read("values.schema.json")?).context("its schema")?;
    let values: Value = serde_yaml_ng::from_str(&read("values.yaml")?).context("its values")?;
    let chart: Value = serde_yaml_ng::from_str(&read("Chart.yaml")?).context("its Chart.yaml")?;
    let text = |field: &str| chart.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut page = format!(
        "<!-- Written by `cargo xtask generate` from values.yaml and values.schema.json. -->\n# {}\n\n{}.\n\n{words}\n",
        text("name"),
        text("description"),
    );
    let _ = writeln!(
        page,
        "Needs Kubernetes {}.",
        text("kubeVersion").trim_end_matches("-0")
    );
    page.push_str("\n## Values\n\n| value | default | |\n|---|---|---|\n");
    rows(&schema, &values, "", &mut page);
    Ok(page)
}

/// A row for each value that has a default, in the order of the alphabet.
fn rows(schema: &Value, defaults: &Value, path: &str, page: &mut String) {
    let fields = schema.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flatten() {
        let Some(default) = defaults.get(name) else {
            continue;
        };
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let words = field.get("description").and_then(Value::as_str);
        let words = words.unwrap_or_default().replace('|', "\\|");
        let is_group = default.as_object().is_some_and(|fields| !fields.is_empty());
        let shown = if is_group && field.get("properties").is_some() {
            String::new()
        } else {
            format!("`{default}`")
        };
        let _ = writeln!(page, "| `{path}` | {shown} | {words} |");
        rows(field, default, &path, page);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_followed_and_leaves_show_their_default() {
        let schema = json!({"properties": {
            "image": {"description": "What runs.", "properties": {"tag": {"description": "a|b"}}},
            "global": {"description": "not ours"},
        }});
        let mut page = String::new();
        rows(&schema, &json!({"image": {"tag": ""}}), "", &mut page);
        assert_eq!(
            page,
            "| `image` |  | What runs. |\n| `image.tag` | `\"\"` | a\\|b |\n"
        );
    }
}
