//! How a pull, push or load goes: bars on a terminal, plain lines where stderr is none, JSON for programs, nothing with `-q`.

mod form;
mod json;

use std::sync::Mutex;

use image::{Event, LayerInfo, LayerState, Retrying};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

pub(crate) use form::{Form, ProgressArgs};

/// Shows the layers of one image.
pub(crate) struct Progress {
    form: Form,
    layers: Mutex<Layers>,
}

#[derive(Default)]
struct Layers {
    ids: Vec<String>,
    sizes: Vec<u64>,
    bars: Vec<ProgressBar>,
    /// All layers together.
    total: Option<ProgressBar>,
    /// Bytes of each that are done, as far as that was told.
    done: Vec<Option<u64>>,
    all: Option<MultiProgress>,
    /// What was said of each layer last, so that a line is said once.
    said: Vec<&'static str>,
}

impl Progress {
    pub(crate) fn new(form: Form) -> Progress {
        Progress { form, layers: Mutex::new(Layers::default()) }
    }

    /// Takes an event, from whichever thread.
    pub(crate) fn show(&self, event: Event<'_>) {
        if self.form == Form::Silent {
            return;
        }
        let mut layers = self.layers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Mirror { address, cause } => super::say(&format!("{address}: {}", super::causes(cause))),
            Event::Layers(infos) => layers.begin(infos, self.form == Form::Bars),
            Event::Layer { index, state: LayerState::Retrying(retrying) } => {
                layers.again(self.form, layers.ids.get(index), retrying);
                if let Some(said) = layers.said.get_mut(index) {
                    *said = "";
                }
            }
            Event::Layer { index, state } if self.form == Form::Bars => layers.bar(index, state),
            Event::Layer { index, state } if self.form == Form::Json => layers.json(index, state),
            Event::Layer { index, state } => layers.line(index, state),
            Event::Retrying(retrying) => layers.again(self.form, None, retrying),
        }
    }
}

impl Layers {
    fn begin(&mut self, infos: &[LayerInfo], bars: bool) {
        self.ids = infos.iter().map(|info| info.id.hex()[..12].to_owned()).collect();
        self.sizes = infos.iter().map(|info| info.size).collect();
        self.said = vec![""; infos.len()];
        self.done = vec![None; infos.len()];
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
        if infos.len() > 1 {
            let style = "Total         {msg:18} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(style).expect("the template names fields that exist");
            self.total = Some(all.add(ProgressBar::new(self.sizes.iter().sum())).with_style(style));
        }
        self.all = Some(all);
    }

    fn bar(&mut self, index: usize, state: LayerState<'_>) {
        self.add_up(index, state);
        let Some(bar) = self.bars.get(index) else { return };
        let done =
            ProgressStyle::with_template("{prefix}: {msg}").expect("the template names fields that exist");
        match state {
            LayerState::Resuming { done }
            | LayerState::Downloading { done }
            | LayerState::Uploading { done }
            | LayerState::Packing { done } => {
                bar.set_message(word(state));
                bar.set_position(done);
            }
            state if is_final(state) => {
                bar.set_style(done);
                bar.finish_with_message(words(state));
            }
            _ => bar.set_message(word(state)),
        }
    }

    /// The bar of all layers: how many bytes of all are done, and how long the rest will take.
    fn add_up(&mut self, index: usize, state: LayerState<'_>) {
        let (Some(done), Some(size)) = (self.done.get_mut(index), self.sizes.get(index)) else { return };
        *done = bytes(state).or(Some(*size).filter(|_| is_final(state))).or(*done);
        if let Some(total) = &self.total {
            total.set_position(self.done.iter().flatten().sum());
            if self.done.iter().zip(&self.sizes).all(|(done, size)| *done == Some(*size)) && is_final(state) {
                total.finish_and_clear();
            }
        }
    }

    fn json(&mut self, index: usize, state: LayerState<'_>) {
        let (Some(id), Some(size)) = (self.ids.get(index), self.sizes.get(index)) else { return };
        let (word, bytes) = (word(state), bytes(state));
        let is_new = self.said[index] != word;
        if is_new || bytes.is_some_and(|bytes| json::is_worth(bytes, self.done[index], *size)) {
            self.said[index] = word;
            self.done[index] = bytes;
            super::say(&json::line(id, *size, &words(state), state).to_string());
        }
    }

    fn line(&mut self, index: usize, state: LayerState<'_>) {
        let (Some(id), Some(said)) = (self.ids.get(index), self.said.get_mut(index)) else { return };
        let word = word(state);
        if *said != word {
            *said = word;
            super::say(&format!("{id}: {}", words(state)));
        }
    }

    /// Each failed attempt is a line, above the bars where there are any.
    fn again(&self, form: Form, id: Option<&String>, retrying: Retrying<'_>) {
        let Retrying { attempt, wait, cause } = retrying;
        let status = format!("Retrying (attempt {attempt}, in {:.1} s): {cause}", wait.as_secs_f64());
        let text = match (form, id) {
            (Form::Json, id) => json::message(id, &status).to_string(),
            (_, Some(id)) => format!("{id}: {status}"),
            (_, None) => status,
        };
        match &self.all {
            Some(all) => all.suspend(|| super::say(&text)),
            None => super::say(&text),
        }
    }
}

/// How many bytes are done, where that is what is told. PURE.
fn bytes(state: LayerState<'_>) -> Option<u64> {
    match state {
        LayerState::Resuming { done }
        | LayerState::Downloading { done }
        | LayerState::Uploading { done }
        | LayerState::Packing { done } => Some(done),
        _ => None,
    }
}

/// Whether nothing more comes of a layer. PURE.
fn is_final(state: LayerState<'_>) -> bool {
    matches!(
        state,
        LayerState::Exists
            | LayerState::Done
            | LayerState::Held
            | LayerState::Mounted { .. }
            | LayerState::Pushed
            | LayerState::Packed
    )
}

/// docker's words, with what they speak of.
fn words(state: LayerState<'_>) -> String {
    match state {
        LayerState::Mounted { from } => format!("{} {from}", word(state)),
        LayerState::Resuming { done } => {
            format!("{}: {} are there already", word(state), super::size::decimal(done))
        }
        _ => word(state).to_owned(),
    }
}

/// docker's words.
fn word(state: LayerState<'_>) -> &'static str {
    match state {
        LayerState::Exists => "Already exists",
        LayerState::Waiting => "Waiting",
        LayerState::Resuming { .. } => "Resuming",
        LayerState::Downloading { .. } => "Downloading",
        LayerState::Retrying(_) => "Retrying",
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
