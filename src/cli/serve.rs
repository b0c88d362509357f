//! `serve`: the service.

use clap::Args;

use crate::{app, settings::Settings};

use super::Failure;

/// Run the service until SIGTERM or SIGINT
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Serve {}

const EXAMPLE: &str = "Example, with no configuration at all, then on another address with tokens:
  scriptorium serve
  SCRIPTORIUM__AUTH__MODE=jwt SCRIPTORIUM__AUTH__HS256_SECRET=… SCRIPTORIUM__SERVER__LISTEN=0.0.0.0:8080 \\
    scriptorium serve";

impl Serve {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Failure> {
        app::serve(settings).await.map_err(Failure::failed)
    }
}
