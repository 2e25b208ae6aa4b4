//! `nervelightd token`: who may use the page and the API.

use std::path::PathBuf;

use anyhow::Result;

use crate::web::auth::{Role, token_file};

/// Where an installed cart keeps them.
const FILE: &str = "/var/lib/nervelight/tokens.json";

/// What to do.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make a token and print it. It is never shown again.
    Add {
        /// Whose it is: stands in the audit log.
        name: String,
        /// What may be done with it: look, also switch what is shown, or also change the model.
        #[arg(long)]
        role: Role,
        #[command(flatten)]
        file: File,
    },
    /// List names, roles and when each token was made.
    List {
        #[command(flatten)]
        file: File,
    },
    /// Take a token back. A running daemon knows it within a second.
    Revoke {
        /// Whose it is.
        name: String,
        #[command(flatten)]
        file: File,
    },
}

#[derive(clap::Args)]
struct File {
    /// Where tokens are kept, as `http.tokens` names it.
    #[arg(long, value_name = "FILE", default_value = FILE)]
    file: PathBuf,
}

/// Adds, lists or revokes.
///
/// # Errors
/// When the file cannot be read or written, or there is such a token already, or none.
pub fn token(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Add { name, role, file: File { file } } => {
            let token = token_file::add(file, name, *role)?;
            errln!("{name} may {role}. Keep this token; it is not shown again:");
            outln!("{token}");
        }
        What::List { file: File { file } } => {
            for token in token_file::read(file)? {
                outln!("{:<20} {:<8} {}", token.name, token.role, token.created);
            }
        }
        What::Revoke { name, file: File { file } } => {
            token_file::revoke(file, name)?;
            errln!("{name} may do nothing any more");
        }
    }
    Ok(())
}
