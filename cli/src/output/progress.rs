//! How a pull, push or load goes: bars on a terminal, plain lines where stderr is none, nothing with `-q`.

use std::io::IsTerminal;
use std::sync::Mutex;

use image::{Event, LayerInfo, LayerState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shows the layers of one image.
pub(crate) struct Progress {
    form: Form,
    layers: Mutex<Layers>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Silent,
    Lines,
    Bars,
}

#[derive(Default)]
struct Layers {
    ids: Vec<String>,
    bars: Vec<ProgressBar>,
    _all: Option<MultiProgress>,
    /// What was said of each layer last, so that a line is said once.
    said: Vec<&'static str>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Progress {
        let form = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Form::Silent,
            (_, true) => Form::Bars,
            (_, false) => Form::Lines,
        };
        Progress { form, layers: Mutex::new(Layers::default()) }
    }

    /// Takes an event, from whichever thread.
    pub(crate) fn show(&self, event: Event<'_>) {
        if self.form == Form::Silent {
            return;
        }
        let mut layers = self.layers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Layers(infos) => layers.begin(infos, self.form == Form::Bars),
            Event::Layer { index, state } if self.form == Form::Bars => layers.bar(index, state),
            Event::Layer { index, state } => layers.line(index, state),
        }
    }
}

impl Layers {
    fn begin(&mut self, infos: &[LayerInfo], bars: bool) {
        self.ids = infos.iter().map(|info| info.id.hex()[..12].to_owned()).collect();
        self.said = vec![""; infos.len()];
        if !bars {
            return;
        }
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix}: {msg:18} {bar:30} {bytes}/{total_bytes} {eta}")
            .expect("the template names fields that exist");
        self.bars = infos
            .iter()
            .zip(&self.ids)
            .map(|(info, id)| {
                let bar = all.add(ProgressBar::new(info.size)).with_style(style.clone());
                bar.set_prefix(id.clone());
                bar.set_message("Waiting");
                bar
            })
            .collect();
        self._all = Some(all);
    }

    fn bar(&self, index: usize, state: LayerState<'_>) {
        let Some(bar) = self.bars.get(index) else { return };
        let done =
            ProgressStyle::with_template("{prefix}: {msg}").expect("the template names fields that exist");
        match state {
            LayerState::Downloading { done } => {
                bar.set_message("Downloading");
                bar.set_position(done);
            }
            LayerState::Uploading { done } => {
                bar.set_message("Pushing");
                bar.set_position(done);
            }
            LayerState::Packing { done } => {
                bar.set_message("Compressing");
                bar.set_position(done);
            }
            LayerState::Exists
            | LayerState::Packed
            | LayerState::Done
            | LayerState::Held
            | LayerState::Mounted { .. }
            | LayerState::Pushed => {
                bar.set_style(done);
                bar.finish_with_message(words(state));
            }
            _ => bar.set_message(word(state)),
        }
    }

    fn line(&mut self, index: usize, state: LayerState<'_>) {
        let (Some(id), Some(said)) = (self.ids.get(index), self.said.get_mut(index)) else { return };
        let word = word(state);
        if *said != word {
            *said = word;
            match state {
                LayerState::Retrying { attempt, wait, cause } => {
                    super::say(&format!(
                        "{id}: {word} (attempt {attempt}, in {} s): {cause}",
                        wait.as_secs()
                    ));
                }
                _ => super::say(&format!("{id}: {}", words(state))),
            }
        }
    }
}

/// docker's words, with what they speak of.
fn words(state: LayerState<'_>) -> String {
    match state {
        LayerState::Mounted { from } => format!("{} {from}", word(state)),
        _ => word(state).to_owned(),
    }
}

/// docker's words.
fn word(state: LayerState<'_>) -> &'static str {
    match state {
        LayerState::Exists => "Already exists",
        LayerState::Waiting => "Waiting",
        LayerState::Downloading { .. } => "Downloading",
        LayerState::Retrying { .. } => "Retrying",
        LayerState::Unpacking => "Extracting",
        LayerState::Done => "Pull complete",
        LayerState::Packing { .. } => "Compressing",
        LayerState::Packed => "Compressed",
        LayerState::Preparing => "Preparing",
        LayerState::Held => "Layer already exists",
        LayerState::Mounted { .. } => "Mounted from",
        LayerState::Uploading { .. } => "Pushing",
        LayerState::Pushed => "Pushed",
    }
}
