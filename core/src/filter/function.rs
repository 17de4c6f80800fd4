//! Filters that users write: WebAssembly modules, run in a sandbox with bounds on time and memory.
//!
//! What a module exports and what bounds it has: `docs/filters.md`.

use wasmi::{
    Config, EnforcedLimits, Engine, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TypedFunc,
};

use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// The largest module, in bytes.
pub const MAX_MODULE: usize = 512 * 1024;
/// What one call may take, in units of about one instruction; under a millisecond.
const FUEL: u64 = 200_000;
/// What starting an instance may take.
const START_FUEL: u64 = 2_000_000;
/// The most memory of an instance, in bytes: the largest message and room to work.
const MAX_MEMORY: usize = 16 << 20;
/// Instances that wait for the next call; more are made while as many threads ask.
const MOST_IDLE: usize = 8;

/// A compiled filter function. Threads may call it at the same time.
pub struct FilterFunction {
    engine: Engine,
    module: Module,
    idle: Mutex<Vec<Running>>,
}

struct Running {
    store: Store<StoreLimits>,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    filter: TypedFunc<(i32, i32, i32, i32), i32>,
    /// Where the module wants its input, and how much fits there.
    buffer: (usize, usize),
}

impl FilterFunction {
    /// Compiles a module and starts it once to see that it can be.
    ///
    /// # Errors
    /// When it is no module, is larger than [`MAX_MODULE`], wants imports, lacks an export, or does not start within its
    /// bounds.
    pub fn compile(module: &[u8]) -> Result<Self> {
        if module.len() > MAX_MODULE {
            return Err(fault(format!("the module has {} bytes, allowed are {MAX_MODULE}", module.len())));
        }
        let mut config = Config::default();
        config.consume_fuel(true).enforced_limits(EnforcedLimits::strict());
        let engine = Engine::new(&config);
        let module = Module::new(&engine, module).map_err(|error| fault(format!("the module: {error}")))?;
        if let Some(import) = module.imports().next() {
            let (from, name) = (import.module(), import.name());
            return Err(fault(format!("the module imports {name} from {from}; there is nothing to import")));
        }
        let function = FilterFunction { engine, module, idle: Mutex::default() };
        let first = function.start()?;
        function.idle.lock().push(first);
        Ok(function)
    }

    fn start(&self) -> Result<Running> {
        let limits =
            StoreLimitsBuilder::new().memory_size(MAX_MEMORY).memories(1).tables(1).table_elements(10_000);
        let mut store = Store::new(&self.engine, limits.build());
        store.limiter(|limits| limits);
        let failed = |error: wasmi::Error| fault(format!("the module does not start: {error}"));
        store.set_fuel(START_FUEL).map_err(failed)?;
        let instance = Linker::new(&self.engine).instantiate(&mut store, &self.module).map_err(failed)?;
        let instance = instance.start(&mut store).map_err(failed)?;
        let lacks = |what: &str| fault(format!("the module has to export {what}"));
        Ok(Running {
            memory: instance.get_memory(&store, "memory").ok_or_else(|| lacks("its memory as `memory`"))?,
            alloc: instance.get_typed_func(&store, "alloc").map_err(|_| lacks("`alloc`, from i32 to i32"))?,
            filter: instance
                .get_typed_func(&store, "filter")
                .map_err(|_| lacks("`filter`, from four i32 to i32"))?,
            buffer: (0, 0),
            store,
        })
    }

    /// Whether the function takes a message with these encoded properties and this stored body.
    ///
    /// # Errors
    /// When it traps, or takes more time or memory than it may. The next call begins with a fresh instance.
    pub fn takes(&self, properties: &[u8], body: &[u8]) -> Result<bool> {
        let idle = self.idle.lock().pop();
        let mut running = match idle {
            Some(running) => running,
            None => self.start()?,
        };
        let takes = running.call(properties, body)?;
        let mut idle = self.idle.lock();
        if idle.len() < MOST_IDLE {
            idle.push(running);
        }
        Ok(takes)
    }
}

impl Running {
    fn call(&mut self, properties: &[u8], body: &[u8]) -> Result<bool> {
        let failed = |error: wasmi::Error| fault(format!("the function failed: {error}"));
        let size = properties.len() + body.len();
        self.store.set_fuel(FUEL).map_err(failed)?;
        if self.buffer.1 < size {
            let wanted = size.next_power_of_two().min(MAX_MEMORY);
            let at = self.alloc.call(&mut self.store, wanted as i32).map_err(failed)?;
            self.buffer = (at as u32 as usize, wanted);
        }
        let (at, _) = self.buffer;
        let memory = self.memory.data_mut(&mut self.store);
        let Some(place) = memory.get_mut(at..at + size) else {
            return Err(fault(format!("`alloc` gave {at}, where {size} bytes do not lie within its memory")));
        };
        place[..properties.len()].copy_from_slice(properties);
        place[properties.len()..].copy_from_slice(body);
        let (at, split, body) = (at as i32, properties.len() as i32, body.len() as i32);
        let result = self.filter.call(&mut self.store, (at, split, at + split, body)).map_err(failed)?;
        Ok(result != 0)
    }
}

fn fault(context: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, "run filter function", context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = include_bytes!("../../tests/fixtures/filter/function.wasm");

    #[test]
    fn a_function_sees_properties_and_body() {
        let function = FilterFunction::compile(MODULE).unwrap();
        for _ in 0..1000 {
            assert!(function.takes(b"a\x01b\x02", b"yes").unwrap());
            assert!(!function.takes(b"a\x01b\x02", b"no").unwrap());
            assert!(function.takes(b"a\x01b\x02", b"").unwrap());
            assert!(!function.takes(b"a\x01b", b"").unwrap());
        }
        let mut large = vec![b'.'; 4 << 20];
        assert!(!function.takes(b"", &large).unwrap());
        large[0] = b'y';
        assert!(function.takes(b"", &large).unwrap());
    }

    #[test]
    fn what_runs_away_is_stopped_and_harms_nobody() {
        let function = FilterFunction::compile(MODULE).unwrap();
        for (body, reason) in [(&b"loop"[..], "fuel"), (b"trap", "unreachable"), (b"memory", "unreachable")] {
            let error = function.takes(b"", body).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(function.takes(b"", b"yes").unwrap());
        }
    }

    #[test]
    fn threads_call_it_at_the_same_time() {
        let function = FilterFunction::compile(MODULE).unwrap();
        std::thread::scope(|threads| {
            for thread in 0..16 {
                let function = &function;
                threads.spawn(move || {
                    for _ in 0..200 {
                        let body: &[u8] = if thread % 2 == 0 { b"yes" } else { b"no" };
                        assert_eq!(function.takes(b"", body).unwrap(), thread % 2 == 0);
                    }
                });
            }
        });
        assert!(function.idle.lock().len() <= MOST_IDLE);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let refused = |module: &[u8]| FilterFunction::compile(module).err().unwrap().to_string();
        refused(b"");
        refused(b"no module");
        refused(&MODULE[..MODULE.len() / 2]);
        assert!(refused(&vec![0; MAX_MODULE + 1]).contains("allowed are 524288"));
        // An empty module, and one that imports a function.
        assert!(refused(b"\0asm\x01\0\0\0").contains("export its memory"));
        let imports = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x07\x01\x01m\x01f\0\0";
        assert!(refused(imports).contains("imports f from m"));
    }
}
