//! Layers on a whole screen: what is read once is drawn whenever a key is typed or the window changes.

use anyhow::Result;
use image::Explored;

use super::Subject;
use super::browse::Place;
use crate::screen::{self, Key, Screen};

/// Shows it until the user quits.
pub(super) fn show(subject: &Subject, explored: &Explored) -> Result<()> {
    let mut screen = Screen::enter()?;
    let mut place = Place::new();
    loop {
        let size = screen::size();
        let (lines, room) = place.frame(subject, explored, size);
        screen::draw(&lines, size.1)?;
        for key in screen.wait(None)?.unwrap_or_default() {
            match key {
                Key::Quit => return Ok(()),
                Key::Signal(number) => screen.take(number)?,
                key => place = place.turned(key, explored, room),
            }
        }
    }
}
