//! `mini create`: a container that is written down, and started later.

use anyhow::Result;

use super::flags::ContainerArgs;
use super::run;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;

/// Make a container of an image without starting it, and print its id
///
/// It is what `mini run` would make; addresses, ports and user ids are given to it when it starts.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    override_usage = "mini create [OPTIONS] IMAGE [COMMAND [ARG]…]",
    after_help = "Examples:\n  mini create --name web -p 8080:80 nginx\n  mini start web\n\nSee also: mini start, mini run, mini rm"
)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    container: ContainerArgs,
}

/// Plans it and writes it down.
pub(crate) fn create(context: &Context, args: &CreateArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let flags = &args.container;
    // Of what makes no sense docker's client says 125, of what cannot be done its daemon 1.
    let mut request = match run::request(context, flags, false) {
        Ok(request) => request,
        Err(error) => {
            output::error(&error);
            return Ok(ExitCode::Mini);
        }
    };
    run::announce(&request, &crate::donors::Found::default());
    let (image, pin) = run::image(context, flags, &request, false)?;
    crate::prepare::storage::complete(context, &mut request, &image.config)?;
    let facts = run::facts(context, &request)?;
    run::replace(context, flags)?;
    let id = crate::prepare::create(context, flags, &request, &image, facts)?;
    drop(pin);
    if flags.origin.replace {
        context.let_images_go();
    }
    context.happened("create", &context.state().find(&id)?.record);
    run::write_id(flags, &id).inspect_err(|_| run::abandon(context, &id))?;
    output::print_line(&id)?;
    Ok(ExitCode::Success)
}
