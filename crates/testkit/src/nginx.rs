//! nginx, in a folder of its own: as what visitors are led to, or as what stands beside us.

use std::path::Path;
use std::process::Command;

use crate::process::Process;
use crate::real;

/// Starts nginx with these `server` blocks and whatever else stands within `http`. It may not listen yet.
///
/// # Panics
///
/// When nginx is missing, which [`require!`](crate::require) finds out before.
#[track_caller]
pub fn serve(folder: &Path, servers: &str) -> Process {
    let path = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {path}/nginx.pid; error_log stderr;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n\
         access_log off; default_type text/plain;\n\
         client_body_temp_path {path}/b; proxy_temp_path {path}/p;\n\
         fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
         {servers}\n\
         }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).expect("nginx's configuration");
    let program = real::find("nginx").expect("nginx");
    let mut command = Command::new(program);
    Process::spawn(command.arg("-c").arg(file).arg("-p").arg(folder))
}
