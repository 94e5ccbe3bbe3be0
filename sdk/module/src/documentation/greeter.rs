// The module of the examples in `launcher` and `testing`, whose hidden lines include this file. What `ixt-build` generates from
// `manifests/valid/greeter.toml` is a golden file.

use ixt_sdk::prelude::*;

include!("../../../../tests/golden/code/greeter.rs");

struct Greeter {
    config: Config,
}

impl Handler for Greeter {
    async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self { config })
    }

    async fn greet(&self, request: GreetRequest, ctx: Context) -> Result<GreetResponse> {
        let text = format!("{}, {}!", self.config.greeting, request.name);
        let message = client::notifications::Message {
            text: text.clone(),
            channel: client::notifications::Channel::Mail,
            priority: client::notifications::MessagePriority::Low,
        };
        client::notifications_send(&ctx, &message).await?;
        publish::greeted(&ctx, &GreetedPayload { name: request.name }).await?;
        Ok(GreetResponse { text })
    }
}
