//! `serve`: the service.

use clap::Args;

use crate::settings::Settings;

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
    #[expect(clippy::unused_async, reason = "the service will be")]
    pub(super) async fn run(self, _settings: Settings) -> Result<(), Failure> {
        Err(Failure::failed("the service is not built yet"))
    }
}
