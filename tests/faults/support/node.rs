//! A stand-in for a broker: answers every Kafka request with its own body, or does as told.
//! With a folder it also works on files there (`writer`).

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::support::{files, writer};

/// `echo ADDRESS [FOLDER]` serves for ever; `reach ADDRESS` succeeds if the address cannot be reached.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let text = |at: usize| {
        args.get(at)
            .and_then(|arg| arg.to_str())
            .unwrap_or_default()
    };
    if text(0) == "files" {
        return files::run(args);
    }
    let address: SocketAddr = text(1).parse().expect("an address");
    match text(0) {
        "echo" => serve(address, args.get(2).map(PathBuf::from)),
        "reach" => match TcpStream::connect(address) {
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        _ => ExitCode::FAILURE,
    }
}

fn serve(address: SocketAddr, folder: Option<PathBuf>) -> ExitCode {
    let listener = TcpListener::bind(address).expect("a free address");
    for stream in listener.incoming().flatten() {
        let folder = folder.clone();
        std::thread::spawn(move || answer(stream, folder.as_deref()));
    }
    ExitCode::SUCCESS
}

fn answer(mut stream: TcpStream, folder: Option<&Path>) -> io::Result<()> {
    loop {
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let mut body = vec![0; length - 8];
        stream.read_exact(&mut body)?;
        if let (Some(folder), true) = (folder, head[4..6] == writer::API.to_be_bytes()) {
            body = writer::answer(folder, &String::from_utf8_lossy(&body)).into_bytes();
        }
        let mut response = (body.len() as u32 + 4).to_be_bytes().to_vec();
        response.extend_from_slice(&head[8..]);
        response.extend(body);
        stream.write_all(&response)?;
    }
}
