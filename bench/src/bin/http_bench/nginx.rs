//! nginx with one worker that answers every request with a fixed 200.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running nginx.
pub(crate) struct Nginx {
    master: Child,
    /// Its worker's process.
    pub(crate) worker: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// Starts it on a CPU and a free port.
    pub(crate) fn start(cpu: usize) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        // Taken and let go: nginx cannot be handed a socket, and says so when somebody else was quicker.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .map_err(|error| error.to_string())?;
        let path = dir.path().display();
        let text = format!(
            "worker_processes 1; daemon off; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {path}/b; proxy_temp_path {path}/p;\n\
             fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
             server {{ listen {address} backlog=4096; location / {{ default_type text/plain; return 200 \"hello world\\n\"; }} }} }}\n"
        );
        let config = dir.path().join("nginx.conf");
        fs::write(&config, text).map_err(|error| error.to_string())?;
        let mut master = Command::new("taskset")
            .args(["-c", &cpu.to_string(), "nginx", "-p"])
            .arg(dir.path())
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("nginx: {error} (apt-get install nginx)"))?;
        let children = format!("/proc/{0}/task/{0}/children", master.id());
        let start = Instant::now();
        loop {
            let worker = fs::read_to_string(&children).unwrap_or_default();
            let worker = worker.split_whitespace().next().and_then(|id| id.parse().ok());
            if let Some(worker) = worker
                && std::net::TcpStream::connect(address).is_ok()
            {
                return Ok(Self { master, worker, address, _dir: dir });
            }
            if let Ok(Some(status)) = master.try_wait() {
                return Err(format!("nginx ended: {status} (apt-get install nginx)"));
            }
            if start.elapsed() > Duration::from_secs(20) {
                return Err("nginx does not answer".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.master.id().to_string()]).status();
        let _ = self.master.wait();
    }
}
