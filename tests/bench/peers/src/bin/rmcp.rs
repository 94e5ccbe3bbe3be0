//! rmcp, the SDK of the Model Context Protocol, over a Unix socket: calls of a tool on one connection, each call in flight a task.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use ixt_bench_peers::{decode, echo, encode, runtime};
use ixt_bench_wire::load::{Payload, Record, Timing, Workload, run_workload};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RunningService};
use rmcp::{ErrorData, RoleClient, RoleServer, ServerHandler, ServiceExt as _};
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

struct Tools;

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let invalid = |error: anyhow::Error| ErrorData::invalid_params(error.to_string(), None);
        let arguments = request.arguments.unwrap_or_default();
        if request.name == "record" {
            let record: Record =
                serde_json::from_value(Value::Object(arguments)).map_err(|error| invalid(error.into()))?;
            let text = serde_json::to_string(&record).map_err(|error| invalid(error.into()))?;
            return Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into());
        }
        let payload =
            arguments.get("payload").and_then(Value::as_str).context("`payload` is missing").map_err(invalid)?;
        Ok(CallToolResult::success(vec![ContentBlock::text(echo(payload).map_err(invalid)?)]).into())
    }
}

fn serve(socket: &Path) -> Result<()> {
    runtime()?.block_on(async {
        let listener = UnixListener::bind(socket)?;
        loop {
            let stream = listener.accept().await?.0;
            tokio::spawn(async move {
                // The first connection is closed at once: it only tests whether the server listens.
                if let Ok(service) = Tools.serve(stream).await {
                    let _ = service.waiting().await;
                }
            });
        }
    })
}

type Client = Arc<RunningService<RoleClient, ()>>;

fn connect(socket: &Path) -> Result<(Runtime, Client)> {
    let runtime = runtime()?;
    let client = runtime.block_on(async { anyhow::Ok(().serve(UnixStream::connect(socket).await?).await?) })?;
    Ok((runtime, Arc::new(client)))
}

fn run((runtime, client): &mut (Runtime, Client), workload: &Workload) -> Result<Timing> {
    let (client, payload) = (Arc::clone(client), workload.payload);
    runtime.block_on(run_workload(workload, move || {
        let client = Arc::clone(&client);
        async move {
            let same = match payload {
                Payload::Bytes(bytes) => {
                    let mut arguments = JsonObject::new();
                    arguments.insert("payload".to_owned(), encode(&vec![b'x'; bytes]).into());
                    decode(&call(&client, "echo", arguments).await?)?.len() == bytes
                }
                Payload::Record => {
                    let record = Record::example();
                    let Value::Object(arguments) = serde_json::to_value(&record)? else {
                        unreachable!("it is an object")
                    };
                    serde_json::from_str::<Record>(&call(&client, "record", arguments).await?)? == record
                }
            };
            ensure!(same, "the reply is not what was sent");
            Ok(())
        }
    }))
}

async fn call(client: &Client, tool: &'static str, arguments: JsonObject) -> Result<String> {
    let result = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await?;
    let block = result.content.into_iter().next().context("the reply is empty")?;
    Ok(block.as_text().context("the reply is no text")?.text.clone())
}

fn main() -> Result<()> {
    ixt_bench_peers::main(serve, connect, run)
}
