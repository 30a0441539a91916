//! `graceful-operator`: `graceful-operator crd` prints the CustomResourceDefinition.

fn main() -> anyhow::Result<()> {
    anyhow::ensure!(
        std::env::args().nth(1).as_deref() == Some("crd"),
        "usage: graceful-operator crd"
    );
    print!("{}", graceful::api::crd::yaml());
    Ok(())
}
