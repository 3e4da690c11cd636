//! An image handed over in each way that there is: what is true of one must be true of the other.

use crate::image::Image;
use crate::server::{Contents, ImageServer};
use crate::{Host, Output};

/// How an image reaches the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// `mini load`, as `docker save` would have written it.
    Load,
    /// `mini pull`, from a registry on loopback.
    Pull,
}

/// Both of them.
pub const BOTH: [Delivery; 2] = [Delivery::Load, Delivery::Pull];

impl Delivery {
    /// Hands it over. Gives back what `mini` said and the name it then has.
    pub fn hand_over(self, host: &Host, image: &Image) -> (Output, String) {
        match self {
            Delivery::Load => {
                (host.mini(["load"]).stdin(image.docker_archive(&["given:1"])).run(), "given:1".to_owned())
            }
            Delivery::Pull => {
                let mut contents = Contents::default();
                contents.add("given", "1", image);
                let server = ImageServer::open(contents);
                let name = format!("{}/given:1", server.name());
                (host.mini(["pull", &name]).run(), name)
            }
        }
    }
}
