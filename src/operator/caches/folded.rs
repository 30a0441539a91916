//! A GracefulDeployment as it is kept: read, but for its template, which is nine tenths of it in memory and wanted
//! by reconciles alone. What is kept is never written to the API.

use std::borrow::Cow;

use kube::Resource;
use kube::core::{DeserializeGuard, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;

use super::cache::Marked;
use super::kept::Keep;
use super::keys::Id;
use crate::api::v1alpha1::GracefulDeployment;

/// A GracefulDeployment, or what is wrong with one that cannot be read.
pub type Guarded = DeserializeGuard<Folded>;

/// A GracefulDeployment whose template is folded into text.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "GracefulDeployment")]
pub struct Folded {
    bare: GracefulDeployment,
    template: Box<str>,
}

impl From<GracefulDeployment> for Folded {
    fn from(mut object: GracefulDeployment) -> Self {
        let template = std::mem::take(&mut object.spec.template).to_string();
        Self {
            bare: object,
            template: template.into(),
        }
    }
}

impl Folded {
    /// The object without its template.
    #[must_use]
    pub fn bare(&self) -> &GracefulDeployment {
        &self.bare
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// Never, for the text was made of a template.
    pub(in crate::operator) fn unfold(&self) -> serde_json::Result<GracefulDeployment> {
        let template: Value = serde_json::from_str(&self.template)?;
        let mut object = self.bare.clone();
        object.spec.template = template;
        Ok(object)
    }
}

impl Resource for Folded {
    type DynamicType = ();
    type Scope = <GracefulDeployment as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        GracefulDeployment::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        GracefulDeployment::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        GracefulDeployment::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        GracefulDeployment::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.bare.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.bare.meta_mut()
    }
}

/// By its namespace.
impl Marked for Guarded {
    fn marks(&self) -> Vec<Id> {
        vec![Id::within(self.meta().namespace.as_deref(), &[])]
    }
}

/// As it is: for metrics and selectors all are walked over.
impl Keep for Guarded {
    type Kept = Self;

    fn keep(&self) -> Self {
        self.clone()
    }
}
