//! Routes, each with what it needs. There is no other way to add one.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware,
    routing::{MethodRouter, get, post},
};

use super::guard::{Gate, Panel, guard};
use crate::app::desk::{Module, Operation};

/// What a request needs to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the page is shown before sign-in, or holds nothing of the gateway's.
    Nothing,
    /// An operator whose role allows this.
    To(Module, Operation),
}

/// A route as it was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// Path, with `{names}`.
    pub path: &'static str,
    /// What it needs.
    pub need: Need,
}

/// Routes under way.
pub(super) struct Routes {
    panel: Panel,
    router: Router<Panel>,
    table: Vec<Route>,
}

impl Routes {
    pub(super) fn new(panel: Panel) -> Self {
        Self { panel, router: Router::new(), table: Vec::new() }
    }

    /// A page without an operator.
    pub(super) fn open<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Panel>,
        T: 'static,
    {
        self.add(Method::GET, path, Need::Nothing, get(handler))
    }

    /// A form that is sent without an operator.
    pub(super) fn open_post<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Panel>,
        T: 'static,
    {
        self.add(Method::POST, path, Need::Nothing, post(handler))
    }

    /// A page without secrets.
    pub(super) fn view<H, T>(self, path: &'static str, module: Module, handler: H) -> Self
    where
        H: Handler<T, Panel>,
        T: 'static,
    {
        self.add(Method::GET, path, Need::To(module, Operation::View), get(handler))
    }

    /// A page with secrets.
    pub(super) fn reveal<H, T>(self, path: &'static str, module: Module, handler: H) -> Self
    where
        H: Handler<T, Panel>,
        T: 'static,
    {
        self.add(Method::GET, path, Need::To(module, Operation::Reveal), get(handler))
    }

    /// A form to be filled in; only who may send it sees it.
    pub(super) fn form<H, T>(self, path: &'static str, module: Module, handler: H) -> Self
    where
        H: Handler<T, Panel>,
        T: 'static,
    {
        self.add(Method::GET, path, Need::To(module, Operation::Change), get(handler))
    }

    /// A change.
    pub(super) fn change<H, T>(self, path: &'static str, module: Module, handler: H) -> Self
    where
        H: Handler<T, Panel>,
        T: 'static,
    {
        self.add(Method::POST, path, Need::To(module, Operation::Change), post(handler))
    }

    /// A change that takes an archive as its body, sent by a script with the token in a header.
    pub(super) fn upload<H, T>(self, path: &'static str, module: Module, handler: H) -> Self
    where
        H: Handler<T, Panel>,
        T: 'static,
    {
        self.add_to(Method::POST, path, Need::To(module, Operation::Change), post(handler), true)
    }

    fn add(self, method: Method, path: &'static str, need: Need, handler: MethodRouter<Panel>) -> Self {
        self.add_to(method, path, need, handler, false)
    }

    fn add_to(
        mut self,
        method: Method,
        path: &'static str,
        need: Need,
        handler: MethodRouter<Panel>,
        archive: bool,
    ) -> Self {
        let gate = Gate { panel: self.panel.clone(), need, archive };
        self.router = self.router.route(path, handler.layer(middleware::from_fn_with_state(gate, guard)));
        self.table.push(Route { method, path, need });
        self
    }

    pub(super) fn router(self) -> Router<Panel> {
        self.router
    }

    pub(super) fn table(self) -> Vec<Route> {
        self.table
    }
}
