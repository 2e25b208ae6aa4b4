//! A window over a whole X screen, which a video sink draws into.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ConfigureWindowAux, ConnectionExt as _, CreateWindowAux, EventMask,
    PropMode, Window as Id, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::sink::feed::Tell;

/// A full-screen window. Dropped, it closes.
pub struct Window {
    connection: Arc<RustConnection>,
    id: Id,
    is_closing: Arc<AtomicBool>,
}

impl Window {
    /// Opens one on the screen of `DISPLAY`. `tell` hears when the server or the window goes.
    ///
    /// # Errors
    /// When there is no X server.
    pub fn open(tell: Tell) -> Result<Self> {
        let (connection, number) = x11rb::connect(None).context("no X server can be reached")?;
        let screen = connection.setup().roots.get(number).context("the X server has no screen")?;
        let (root, black) = (screen.root, screen.black_pixel);
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        // Its size may change with the monitor.
        let listen = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(root, &listen)?;
        // A pointer without a pixel.
        let (empty, pointer) = (connection.generate_id()?, connection.generate_id()?);
        connection.create_pixmap(1, empty, root, 1, 1)?;
        connection.create_cursor(pointer, empty, empty, 0, 0, 0, 0, 0, 0, 0, 0)?;
        connection.free_pixmap(empty)?;
        let id = connection.generate_id()?;
        let look = CreateWindowAux::new()
            .background_pixel(black)
            .cursor(pointer)
            .event_mask(EventMask::STRUCTURE_NOTIFY);
        let kind = WindowClass::INPUT_OUTPUT;
        connection.create_window(COPY_DEPTH_FROM_PARENT, id, root, 0, 0, width, height, 0, kind, 0, &look)?;
        // What a window manager has to know, if there is one (EWMH).
        let atom = |name: &str| anyhow::Ok(connection.intern_atom(false, name.as_bytes())?.reply()?.atom);
        let (state, whole) = (atom("_NET_WM_STATE")?, atom("_NET_WM_STATE_FULLSCREEN")?);
        connection.change_property32(PropMode::REPLACE, id, state, AtomEnum::ATOM, &[whole])?;
        connection.change_property8(
            PropMode::REPLACE,
            id,
            AtomEnum::WM_NAME,
            AtomEnum::STRING,
            b"Nervelight",
        )?;
        connection.map_window(id)?.check().context("the X server shows no window")?;
        let window = Self { connection: Arc::new(connection), id, is_closing: Arc::default() };
        let (connection, is_closing) = (window.connection.clone(), window.is_closing.clone());
        let watch = move || {
            let why = watch(&connection, id, root);
            if !is_closing.load(Ordering::SeqCst) {
                tell(&why);
            }
        };
        thread::Builder::new().name("window".into()).spawn(watch)?;
        Ok(window)
    }

    /// What a sink knows it by.
    pub fn id(&self) -> usize {
        self.id as usize
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.is_closing.store(true, Ordering::SeqCst);
        // With the server the window is gone, too.
        let _ = self.connection.destroy_window(self.id).map(|_| self.connection.flush());
    }
}

/// Keeps the window as large as its screen, until one of them goes; says why.
fn watch(connection: &RustConnection, id: Id, root: Id) -> String {
    loop {
        match connection.wait_for_event() {
            Ok(Event::ConfigureNotify(change)) if change.window == root => {
                let size = ConfigureWindowAux::new()
                    .x(0)
                    .y(0)
                    .width(u32::from(change.width))
                    .height(u32::from(change.height));
                // A connection that is lost is found by the next look.
                let _ = connection.configure_window(id, &size).map(|_| connection.flush());
            }
            Ok(Event::DestroyNotify(gone)) if gone.window == id => return "its window was closed".into(),
            Ok(_) => {}
            Err(error) => return format!("the X server is gone: {error}"),
        }
    }
}
