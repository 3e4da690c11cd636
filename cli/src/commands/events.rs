//! `mini events`: what has happened, and what happens.

use anyhow::{Context as _, Result};
use rustix::event::Timespec;

use crate::clock::{self, Moment};
use crate::context::Context;
use crate::events::{Event, Filters, Journal};
use crate::exit_code::ExitCode;
use crate::follow::Watch;
use crate::output;
use crate::output::template::{Template, Value};

/// Print what happens to containers, images, volumes and networks
///
/// Goes on until it is interrupted, or until the time that --until says. With --since or --until it begins with what has
/// happened already; some ten thousand events are kept, also over a reboot.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini events --since 1h --until 0s\n  mini events --since 10m --until 0s --filter event=die --format '{{.Actor.Attributes.name}}'\n\nSee also: mini logs, mini ps, mini stats"
)]
pub(crate) struct EventsArgs {
    /// Begin with what has happened since then: a time, or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End then: a time, or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those that are so: container, event, image, label, network, scope, type, volume
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, or a template: .Type .Action .Actor.ID .Actor.Attributes .Time .TimeNano
    #[arg(long, value_name = "FORM")]
    format: Option<String>,
}

/// Which events, and how.
struct Form {
    filters: Filters,
    /// ns since 1970.
    since: u64,
    /// ns since 1970.
    until: u64,
    template: Option<Template>,
}

/// Prints what there is, where it is asked for, and what comes.
pub(crate) fn events(context: &Context, args: &EventsArgs) -> Result<ExitCode> {
    let now = clock::now();
    let moment = |text: &Option<String>| text.as_deref().map(|text| clock::moment(text, now)).transpose();
    let (since, until) = (moment(&args.since)?, moment(&args.until)?);
    let form = Form {
        filters: Filters::new(&args.filter)?,
        since: since.unwrap_or(0),
        until: until.unwrap_or(u64::MAX),
        template: args.format.as_deref().map(template).transpose()?,
    };
    let journal = context.journal();
    let mut follower = journal.follower()?;
    // Before the first look, so that nothing written in between is missed.
    let watch = Watch::new(journal.directory())?;
    let mut lines = Vec::new();
    if since.is_some() || until.is_some() {
        follower.all(&mut |line| lines.push(line))?;
    } else {
        follower.new_lines(&mut |_| ())?;
    }
    loop {
        for line in lines.drain(..) {
            if let Some(event) = Journal::read(&line).filter(|event| form.shows(event)) {
                output::print_line(&form.text(&event)?)?;
            }
        }
        let now = clock::now();
        if now >= form.until {
            return Ok(ExitCode::Success);
        }
        // In steps, for a clock that is set.
        watch.wait(step(form.until - now));
        follower.new_lines(&mut |line| lines.push(line))?;
    }
}

/// At most a second.
fn step(left: u64) -> Timespec {
    Moment::after(left.min(1_000_000_000)).left()
}

fn template(form: &str) -> Result<Template> {
    let form = if form == "json" { "{{json .}}" } else { form };
    Template::parse(form).context("template parsing error")
}

impl Form {
    fn shows(&self, event: &Event) -> bool {
        (self.since..=self.until).contains(&event.time) && self.filters.pass(event)
    }

    fn text(&self, event: &Event) -> Result<String> {
        match &self.template {
            Some(template) => Ok(template.render(&Value::Object(event)).context("template parsing error")?),
            None => Ok(event.text()),
        }
    }
}
