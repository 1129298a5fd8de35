//! What masters do: accesses, Translation Requests, page requests.

use super::judge::Fetched;
use super::machine::{HostPort, Hosted, Unit};
use super::outputs::Host;
use parking_lot::Mutex;
use smmu_arch::{
    Direction, Fault, Iova, Pa, PageRequest, SmmuId, StallTicket, StreamId, SubstreamId,
    Transaction, TranslationCompletion, TranslationRequest,
};
use smmu_bus::Memory;
use smmu_device::{Granted, Refused, Release, Response};
use smmu_master::{grants, output};

const PAGE: u64 = 0x1000;

/// An access of a master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// The SMMU in front of it.
    pub smmu: SmmuId,
    /// StreamID.
    pub stream: StreamId,
    /// SubstreamID (PASID), where there is one.
    pub substream: Option<SubstreamId>,
    /// First byte.
    pub iova: Iova,
    /// Direction and rights.
    pub access: smmu_arch::Access,
    /// Through the address translation cache of the stream's device in the machine file; a device
    /// without one asks before each access.
    pub by_ats: bool,
}

impl Access {
    /// An unprivileged data access without a SubstreamID that the SMMU translates.
    #[must_use]
    pub const fn new(smmu: SmmuId, stream: StreamId, iova: Iova, direction: Direction) -> Self {
        let access = smmu_arch::Access::data(direction);
        Self { smmu, stream, substream: None, iova, access, by_ats: false }
    }

    const fn transaction(&self, iova: Iova) -> Transaction {
        Transaction { stream: self.stream, substream: self.substream, iova, access: self.access }
    }

    /// The same access, `offset` bytes on.
    const fn onwards(&self, offset: u64) -> Self {
        Self { iova: Iova(self.iova.0.wrapping_add(offset)), ..*self }
    }

    const fn request(&self) -> TranslationRequest {
        TranslationRequest {
            stream: self.stream,
            substream: self.substream,
            iova: self.iova,
            no_write: !self.access.is_write(),
            execute: false,
            privileged: self.access.privileged,
        }
    }
}

/// Why an access was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessError {
    /// The SMMU aborted it. The fault is `None` for a silent abort; `recorded` tells whether an
    /// event record was made.
    Aborted {
        /// Why.
        fault: Option<Fault>,
        /// An event record was made for it.
        recorded: bool,
    },
    /// Reads return zero and writes are dropped, without an error.
    ReadZeroWriteIgnored(Fault),
    /// The SMMU holds it: make it again when [`Hosted::stalled`] says so.
    Stalled(StallTicket),
    /// The SMMU agreed, but no memory answered at this address.
    NoMemory(Pa),
    /// The endpoint got no translation for it, or one without the right that it needs.
    NotTranslated(TranslationCompletion),
    /// There is no SMMU of that number.
    NoSuchSmmu,
}

/// How far an access came.
pub type Done = Result<(), (u64, AccessError)>;

/// What has become of a stalled access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    /// Software has not decided yet.
    Waiting,
    /// It has.
    Over(Release),
}

impl<M: Memory, H: Host> Hosted<M, H> {
    /// Where the byte at `access.iova` is, without accessing it.
    ///
    /// # Errors
    /// Why the access would not be made.
    pub fn translate(&self, access: &Access) -> Result<Pa, AccessError> {
        self.transact(access, |_, pa| Ok(pa))
    }

    /// Reads bytes as the master does: one transaction a page of 4 KiB.
    ///
    /// # Errors
    /// How many bytes were read before, and why no more were.
    pub fn read(&self, access: &Access, bytes: &mut [u8]) -> Done {
        for (offset, length) in pieces(access.iova.0, bytes.len()) {
            let piece = &mut bytes[offset..offset + length];
            let read = |memory: &M, pa| {
                memory.read_bytes(pa, piece).map_err(|error| AccessError::NoMemory(error.0))
            };
            self.transact(&access.onwards(offset as u64), read)
                .map_err(|error| (offset as u64, error))?;
        }
        Ok(())
    }

    /// Writes bytes as the master does: one transaction a page of 4 KiB.
    ///
    /// # Errors
    /// How many bytes were written before, and why no more were.
    pub fn write(&self, access: &Access, bytes: &[u8]) -> Done {
        for (offset, length) in pieces(access.iova.0, bytes.len()) {
            let piece = &bytes[offset..offset + length];
            let write = |memory: &M, pa| {
                memory.write_bytes(pa, piece).map_err(|error| AccessError::NoMemory(error.0))
            };
            self.transact(&access.onwards(offset as u64), write)
                .map_err(|error| (offset as u64, error))?;
        }
        Ok(())
    }

    /// Completes a Translation Request of an endpoint whose cache is the host's own.
    ///
    /// # Errors
    /// [`AccessError::NoSuchSmmu`].
    pub fn request_translation(
        &self,
        smmu: SmmuId,
        request: &TranslationRequest,
    ) -> Result<TranslationCompletion, AccessError> {
        let _turn = self.take_turn();
        let unit = self.unit(smmu).ok_or(AccessError::NoSuchSmmu)?;
        self.desk.catch_up();
        let completion =
            unit.port(request.stream).lock().request_translation(&Fetched(&self.desk), request);
        self.pump(unit);
        Ok(completion)
    }

    /// Where a Translated transaction goes: `access.iova` came from a Translation Request.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn translated(&self, access: &Access) -> Result<Pa, AccessError> {
        let _turn = self.take_turn();
        let unit = self.unit(access.smmu).ok_or(AccessError::NoSuchSmmu)?;
        self.desk.catch_up();
        let mut port = unit.port(access.stream).lock();
        let outcome = port.translated(&Fetched(&self.desk), &access.transaction(access.iova));
        port.end();
        drop(port);
        self.pump(unit);
        outcome.map(|granted| granted.output).map_err(|refused| error(&refused))
    }

    /// An endpoint asks for a page (PRI).
    ///
    /// # Errors
    /// [`AccessError::NoSuchSmmu`].
    pub fn request_page(&self, smmu: SmmuId, request: &PageRequest) -> Result<(), AccessError> {
        let _turn = self.take_turn();
        let unit = self.unit(smmu).ok_or(AccessError::NoSuchSmmu)?;
        unit.smmu.request_page(request);
        self.pump(unit);
        Ok(())
    }

    /// What has become of a stalled access. A decision is told once.
    ///
    /// # Errors
    /// [`AccessError::NoSuchSmmu`].
    pub fn stalled(&self, smmu: SmmuId, ticket: StallTicket) -> Result<Stall, AccessError> {
        let _turn = self.take_turn();
        let unit = self.unit(smmu).ok_or(AccessError::NoSuchSmmu)?;
        Ok(unit.smmu.released(ticket).map_or(Stall::Waiting, Stall::Over))
    }

    /// One transaction, in flight until its data access is made.
    fn transact<T>(
        &self,
        access: &Access,
        data: impl FnOnce(&M, Pa) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let _turn = self.take_turn();
        let unit = self.unit(access.smmu).ok_or(AccessError::NoSuchSmmu)?;
        self.desk.catch_up();
        let mut port = unit.port(access.stream).lock();
        let memory = Fetched(&self.desk);
        let outcome = if access.by_ats {
            unit.by_cache(&mut port, &memory, access)
                .map(|address| port.translated(&memory, &access.transaction(Iova(address))))
        } else {
            Ok(port.translate(&memory, &access.transaction(access.iova)))
        };
        let outcome = outcome.and_then(|outcome| {
            let reached: Result<Granted, _> = outcome.map_err(|refused| error(&refused));
            let done = reached.and_then(|granted| data(self.memory(), granted.output));
            port.end();
            done
        });
        drop(port);
        self.pump(unit);
        outcome
    }
}

impl<M: Memory, H: Host> Unit<M, H> {
    /// The port of the stream's device; those without a device share one.
    fn port(&self, stream: StreamId) -> &Mutex<HostPort<M, H>> {
        let others = self.ports.len() - 1;
        &self.ports[self.port_of.get(&stream).copied().unwrap_or(others)]
    }

    /// The translated address of an access, from the cache of its device or by a request.
    fn by_cache(
        &self,
        port: &mut HostPort<M, H>,
        memory: &Fetched<'_, M, H>,
        access: &Access,
    ) -> Result<u64, AccessError> {
        let request = access.request();
        let mut atc = self.atcs.get(&access.stream).map(|endpoint| endpoint.atc.lock());
        let known = atc.as_ref().and_then(|atc| atc.look_up(&request, access.access));
        if let Some(address) = known {
            return Ok(address);
        }
        let pending = atc.as_mut().map(|atc| atc.begin_request(request));
        let completion = port.request_translation(memory, &request);
        let granted = match completion {
            TranslationCompletion::Success(translation) => Some(translation),
            _ => None,
        };
        if let (Some(atc), Some(pending)) = (&mut atc, pending) {
            atc.end_request(pending, granted);
        }
        let granted = granted.filter(|granted| grants(granted, access.access));
        let granted = granted.ok_or(AccessError::NotTranslated(completion))?;
        Ok(output(&granted, access.iova))
    }
}

const fn error(refused: &Refused) -> AccessError {
    match (refused.response, refused.fault) {
        (Response::Held(ticket), _) => AccessError::Stalled(ticket),
        (Response::ReadZeroWriteIgnored, Some(fault)) => AccessError::ReadZeroWriteIgnored(fault),
        (_, fault) => AccessError::Aborted { fault, recorded: refused.record },
    }
}

/// Offset and length of each part of a transfer: none crosses a boundary of 4 KiB.
fn pieces(first: u64, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left_in_page = PAGE - (first.wrapping_add(done as u64) & (PAGE - 1));
        let piece = (length - done).min(left_in_page as usize);
        let offset = done;
        done += piece;
        (piece > 0).then_some((offset, piece))
    })
}
