# A Python that starts becomes a fork template here (common/fork_protocol.h): this is its sitecustomize, which stands
# between the interpreter's own start and the program. Preloads modules, waits for requests, and in every rank that is
# forked returns, so that the interpreter goes on to run its program by itself: sys.argv, __main__, sys.path[0], runpy,
# the end. What a rank would find different from a Python of its own is put right in as_if_started().
#
# ferrun gives ARGUMENTS, what stands behind the interpreter in its command line, each ended by NUL, and PRELOAD, the
# modules' names; None: torch, and what the first attempt imports of FAMILY. The interpreter may be as old as 3.8.
import os
import sys

# torch, what it needs, and its usual companions: importing these looks at nothing that differs between ranks.
FAMILY = frozenset(
    ("torch", "torchvision", "torchaudio", "torchgen", "functorch", "numpy", "sympy", "mpmath", "networkx", "jinja2",
     "markupsafe", "fsspec", "filelock", "typing_extensions", "triton", "optree", "PIL"))
DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/accel", "/dev/habanalabs", "/dev/davinci", "/dev/infiniband/")
HELLO, REFUSAL, VERSION = 0x466B5250, 0x466B4E6F, 1
INTERNAL_ERROR = 70
LEDGER_BYTES = 1 << 18
SETTLED = 2.0  # seconds without an import, after which a rank's start is over
PR_SET_PDEATHSIG, SIGKILL = 1, 9
MADV_COLLAPSE = 25  # Linux 6.1
HUGE_PAGE = 2 << 20
SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}
MPOL_PREFERRED = 1
GATHERED_AT_ONCE = 8 * HUGE_PAGE  # some tens of milliseconds of a busy machine, for which a request may have to wait


class Unfit(Exception):
    """Why ranks must not be forked from this process."""


def step_aside():
    """Leaves no trace of this file's way into the interpreter, for what is imported from now on."""
    import zipimport
    archive = os.path.dirname(__file__)
    sys.path[:] = [entry for entry in sys.path if entry != archive]
    sys.path_importer_cache.pop(archive, None)
    getattr(zipimport, "_zip_directory_cache", {}).pop(archive, None)
    del sys.modules[__name__]


def is_the_program():
    """False in another Python that the way to the template leads through, a wrapper's for one."""
    with open("/proc/self/cmdline", "rb") as file:
        return file.read().endswith(b"\0" + ARGUMENTS)


def take_channel():
    import _socket
    rest = os.environ.pop("PYTHONPATH", "").partition(os.pathsep)[2]
    if rest:
        os.environ["PYTHONPATH"] = rest
    channel = _socket.socket(fileno=int(os.environ.pop("FERRUN_TEMPLATE_FD")))
    os.set_inheritable(channel.fileno(), False)
    return channel


def run_customizations():
    """What site would import after this file; the first error is for every rank to show."""
    import site
    names = ["sitecustomize"] + ["usercustomize"] * bool(site.ENABLE_USER_SITE)
    for name in names:
        try:
            __import__(name)
        except ImportError as error:
            if error.name != name:
                return error
        except Exception as error:
            return error
    return None


def import_roots():
    """The folders that the program will find modules in before all others; its sys.path[0] comes first."""
    if getattr(sys.flags, "safe_path", False):
        return []
    words = ARGUMENTS[:-1].split(b"\0")
    while words[0].startswith(b"-") and words[0] not in (b"-m", b"-c"):
        words.pop(0)
    if words[0] == b"-m":
        return [os.getcwd()]
    if words[0] == b"-c":  # ferrun --run-path
        return [os.path.dirname(os.path.abspath(os.fsdecode(words[2]))), os.getcwd()]
    script = os.fsdecode(words[0])
    if os.path.isdir(script):
        return [script]
    try:
        import zipimport
        zipimport.zipimporter(script)
        return [script]
    except ImportError:
        return [os.path.dirname(os.path.realpath(script))]


class Preloader:
    """Imports modules as the program would, and knows when that cannot be trusted any more."""

    def __init__(self):
        self.roots = import_roots()
        self.own_descriptors = self.descriptors()
        self.files = {}
        self.checked = False

    def load(self, name):
        """Raises what the import raises."""
        import gc
        import importlib
        self.checked = False
        if self.roots:
            sys.path.insert(0, self.roots[0])
        gc.disable()
        try:
            importlib.import_module(name)
        finally:
            gc.enable()
            if self.roots:
                sys.path.remove(self.roots[0])

    def load_all(self, names):
        for name in names:
            try:
                self.load(name)
            except BaseException as error:
                raise Unfit("importing %s gives %s: %s" % (name, type(error).__name__, error))

    @staticmethod
    def is_installed(name):
        import importlib.util
        return importlib.util.find_spec(name) is not None

    @staticmethod
    def state(path):
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    @staticmethod
    def mappings():
        with open("/proc/self/maps", "rb") as file:
            for line in file:
                yield line.rstrip(b"\n").split(None, 5)

    def loaded_files(self):
        files = {os.fsencode(sys.executable)} if sys.executable else set()
        for module in list(sys.modules.values()):
            origin = getattr(getattr(module, "__spec__", None), "origin", None)
            if isinstance(origin, str) and os.path.isabs(origin):
                files.add(os.fsencode(origin))
        for fields in self.mappings():
            if len(fields) == 6 and fields[5].startswith(b"/") and fields[1][3:] == b"p":
                files.add(fields[5])
        return files

    @staticmethod
    def descriptors():
        found = {}
        for number in os.listdir("/proc/self/fd"):
            try:
                found[int(number)] = os.readlink("/proc/self/fd/" + number)
            except OSError:
                pass  # the folder's own
        return found

    def check(self, received=()):
        """That a fork of this process is a Python of its own, but for what it has imported. `received`: descriptors that
        are the caller's."""
        if self.checked:
            return
        import gc
        gc.collect()
        gc.freeze()  # the collector of a rank would write to every page of these objects
        self.files = {path: self.state(path) for path in self.loaded_files()}
        self.check_descriptors(received)
        self.check_mappings()
        try:
            os.waitpid(-1, os.WNOHANG)
            raise Unfit("a preloaded module has started a process")
        except ChildProcessError:
            pass
        self.check_threads()
        self.checked = True

    def check_descriptors(self, received):
        for number, target in self.descriptors().items():
            if number in received or self.own_descriptors.get(number) == target:
                continue
            if target.startswith(DEVICES):
                raise Unfit("a preloaded module has opened " + target + ", which a fork cannot use")
            if target not in ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero"):
                raise Unfit("a preloaded module keeps %s open, which the workers would share" % target)

    def check_mappings(self):
        for fields in self.mappings():
            if fields[1][1:] == b"w-s" and (LEDGER is None or LEDGER_BYTES != size_of(fields[0])):
                what = os.fsdecode(fields[5]) if len(fields) == 6 else "memory"
                raise Unfit("a preloaded module has mapped %s, which the workers would share" % what)

    @staticmethod
    def check_threads():
        if threads() == 1:
            return
        # Libraries that can be forked, OpenBLAS for one, end their threads before, and start them again when needed.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        import time
        give_up = time.monotonic() + 1
        while threads() > 1:
            if time.monotonic() > give_up:
                raise Unfit("a preloaded module has started a thread, which a fork would not have")
            time.sleep(0.001)

    def check_files(self):
        for path, state in self.files.items():
            if self.state(path) != state:
                raise Unfit(os.fsdecode(path) + " has changed since it was loaded")

    def check_roots(self):
        """That the program finds no module of its own where another was preloaded."""
        import importlib.machinery
        for root in self.roots:
            try:
                names = {entry.partition(".")[0] for entry in os.listdir(root)}
            except OSError:
                continue
            for name in names & sys.modules.keys():
                if name == "__main__" or name in sys.builtin_module_names:
                    continue
                spec = importlib.machinery.PathFinder.find_spec(name, [root])
                loaded = getattr(sys.modules[name], "__spec__", None)
                if spec is None or spec.origin is None or loaded is None or loaded.origin in ("frozen", spec.origin):
                    continue
                raise Unfit("%s stands before the %s that was preloaded" % (spec.origin, name))

    def describe(self):
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        return "%d modules loaded, %d MB" % (len(sys.modules), resident / 1e6)


def size_of(address_range):
    first, last = address_range.split(b"-")
    return int(last, 16) - int(first, 16)


def threads():
    return len(os.listdir("/proc/self/task"))


LEDGER = None  # memory that the template shares with a rank of the first attempt, which writes what it imports


class Learner:
    """Stands before the finders of modules in one rank of the first attempt, finds nothing, and takes notes."""

    @staticmethod
    def note(name):
        size = int.from_bytes(LEDGER[:4], "little")
        text = name.encode() + b"\n"
        if 4 + size + len(text) <= LEDGER_BYTES:
            LEDGER[4 + size:4 + size + len(text)] = text
            LEDGER[:4] = (size + len(text)).to_bytes(4, "little")

    def __init__(self):
        self.pid = os.getpid()

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FAMILY and os.getpid() == self.pid:
            self.note(name)
        return None

    @staticmethod
    def notes():
        size = int.from_bytes(LEDGER[:4], "little")
        return LEDGER[4:4 + size].decode("utf-8", "replace").split()


class Order:
    """A request: what the rank's environment, streams and CPUs are to be."""
    LAYOUT = "@iIQI128sI"

    def __init__(self, message, descriptors):
        import struct
        self.agent, self.id, size, count, cpus, self.memory_node = struct.unpack(self.LAYOUT, message)
        self.descriptors = descriptors
        block = os.pread(descriptors[0], size, 0)
        while len(block) < size:
            more = os.pread(descriptors[0], size - len(block), len(block))
            if not more:
                raise OSError("the environment is cut short")
            block += more
        self.environment = [entry.partition(b"=")[::2] for entry in block.split(b"\0")[:-1]]
        self.cpus = {cpu for cpu in range(1024) if count and cpus[cpu // 8] >> cpu % 8 & 1}

    def variable(self, name):
        return dict(self.environment).get(name)


class Template:

    def __init__(self, channel):
        import ctypes
        import struct
        self.channel = channel
        self.struct = struct
        library = ctypes.CDLL(None, use_errno=True)
        self.prctl = library.prctl
        self.system_call = library.syscall
        self.system_call.argtypes = ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_ulong
        self.madvise = library.madvise
        self.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        self.environment = dict(os.environb)
        self.error = run_customizations()
        self.preloader = None
        self.looked_for = None  # the attempt for which files were looked at
        self.noticed = 0  # of what the first attempt has noted
        self.learnt = 0
        self.to_learn = []
        self.to_gather = None  # ranges of addresses; None: not looked for since the last import
        self.pause = SETTLED

    def prepare(self):
        global LEDGER
        if not ARGUMENTS.strip(b"\0"):
            raise Unfit("this Python has no program to run")
        self.preloader = Preloader()
        if PRELOAD is None:
            import mmap
            LEDGER = mmap.mmap(-1, LEDGER_BYTES)
            self.preloader.load_all(["torch"] if self.preloader.is_installed("torch") else [])
        else:
            self.preloader.load_all(PRELOAD)
        self.preloader.check()
        self.preloader.check_roots()
        note = self.preloader.describe()
        self.send(self.struct.pack("@II", HELLO, VERSION) + note.encode())

    def send(self, message):
        self.channel.send(message)

    def refuse(self, reason):
        """The last word: nothing is forked any more."""
        try:
            self.send(self.struct.pack("@II", REFUSAL, VERSION) + reason.encode("utf-8", "replace")[:1000])
        except OSError:
            pass
        os._exit(INTERNAL_ERROR)

    def receive(self):
        """The next request; None when there was none for a while."""
        import _socket
        try:
            message, ancillary, _, _ = self.channel.recvmsg(1024, _socket.CMSG_SPACE(4 * 4), _socket.MSG_CMSG_CLOEXEC)
        except _socket.timeout:
            return None
        if not message:
            os._exit(0)
        descriptors = self.struct.unpack("@%di" % (len(ancillary[0][2]) // 4), ancillary[0][2])
        return Order(message, descriptors)

    def serve(self):
        """Returns in each rank, with its order."""
        while True:
            self.channel.settimeout(self.patience())
            order = self.receive()
            if order is None:
                self.use_the_pause()
                continue
            self.preloader.check(order.descriptors)
            attempt = order.variable(b"TORCHELASTIC_RESTART_COUNT"), order.variable(b"FERRUN_ROUND")
            if attempt != self.looked_for:
                self.preloader.check_files()
                self.preloader.check_roots()
                self.looked_for = attempt
            if self.fork_rank(order):
                return order
            for descriptor in order.descriptors:
                os.close(descriptor)

    def patience(self):
        """For how long to wait for a request before something else is done."""
        if self.to_learn or self.to_gather:
            return 0.001
        return self.pause if LEDGER is not None or self.to_gather is None else None

    def use_the_pause(self):
        """Requests come first; so each call does little."""
        if LEDGER is not None and not self.to_gather and self.learn():
            self.to_gather = None
        elif self.to_gather is None:
            self.to_gather = list(self.small_pages())
        elif self.to_gather:
            first, size = self.to_gather.pop()
            self.madvise(first, size, MADV_COLLAPSE)  # where it cannot be done, forks take longer

    def small_pages(self):
        """Python's own memory, which no allocator keeps in huge pages: a fork copies an entry for each page."""
        for fields in self.preloader.mappings():
            if fields[1] != b"rw-p" or len(fields) == 6:
                continue
            begin, end = (int(address, 16) for address in fields[0].split(b"-"))
            end -= end % HUGE_PAGE
            for first in range(begin + -begin % HUGE_PAGE, end, GATHERED_AT_ONCE):
                yield first, min(GATHERED_AT_ONCE, end - first)

    def learn(self):
        """Imports what the first attempt has imported, once that has stood still for a while. False: nothing to do."""
        if self.to_learn:
            name = self.to_learn.pop()
            try:
                if name not in sys.modules:
                    self.preloader.load(name)
            except BaseException:
                pass  # as it may have been in the first attempt
            if not self.to_learn:
                self.preloader.check()
            return True
        notes = Learner.notes()
        if len(notes) == self.learnt:
            self.pause = min(2 * self.pause, 60) if self.learnt else SETTLED
            return False
        if len(notes) != self.noticed:
            self.noticed = len(notes)
        else:
            self.to_learn = list(reversed(notes[self.learnt:]))
            self.learnt = len(notes)
        return True

    def fork_rank(self, order):
        """Forked twice, so that the rank becomes the agent's child, and runs exactly when the agent has heard of it."""
        import _socket
        own, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            intermediate = os.fork()
        except OSError as error:
            self.reply(order, 0, error.errno)
            return False
        if intermediate == 0:
            try:
                if os.fork() != 0:
                    os._exit(0)
            except OSError as error:
                theirs.send(self.struct.pack("@ii", 0, error.errno))
                os._exit(0)
            own.close()
            self.join_agent(order, theirs)
            theirs.close()
            return True
        theirs.close()
        error = self.release_rank(intermediate, own)
        if error:
            self.reply(order, 0, error)
        own.close()
        return False

    def reply(self, order, pid, error):
        self.send(self.struct.pack("@Iii", order.id, pid, error))

    def release_rank(self, intermediate, handshake):
        import errno
        report = self.received(handshake, 8)
        os.waitpid(intermediate, 0)
        if len(report) != 8:
            return errno.ECHILD
        _, error = self.struct.unpack("@ii", report)
        if error:
            return error
        try:
            handshake.send(b"g")
        except OSError:
            return errno.ECHILD
        return 0 if self.received(handshake, 1) == b"t" else errno.ECHILD

    @staticmethod
    def received(handshake, size):
        try:
            return handshake.recv(size)
        except OSError:
            return b""

    def join_agent(self, order, handshake):
        os.setsid()  # before the report: who learns the pid may signal the group
        try:
            handshake.send(self.struct.pack("@ii", os.getpid(), 0))
        except OSError:
            os._exit(INTERNAL_ERROR)
        if self.received(handshake, 1) != b"g":
            os._exit(INTERNAL_ERROR)  # the template died
        # Only now, because the death of the intermediate process would have sent it. Had the agent died before this
        # line, the parent is another.
        self.prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != order.agent:
            os._exit(INTERNAL_ERROR)
        try:
            self.reply(order, os.getpid(), 0)
            handshake.send(b"t")
        except OSError:
            pass

    def as_if_started(self, order):
        """In the rank: what a Python of its own would have."""
        learns = LEDGER is not None and not self.learnt and order.variable(b"LOCAL_RANK") == b"0"
        self.channel.close()
        os.dup2(order.descriptors[1], 1)
        os.dup2(order.descriptors[2], 2)
        for descriptor in order.descriptors[:3]:
            os.close(descriptor)
        if len(order.descriptors) > 3 and order.descriptors[3] != 3:
            os.dup2(order.descriptors[3], 3)
            os.close(order.descriptors[3])
        elif len(order.descriptors) > 3:
            os.set_inheritable(3, True)
        self.set_environment(order)
        if order.cpus:
            os.sched_setaffinity(0, order.cpus)
        if order.memory_node:
            self.prefer_memory_of(order.memory_node - 1)
        reopen(sys.stdout, 1, "<stdout>")
        reopen(sys.stderr, 2, "<stderr>")
        renew_modules()
        if learns:
            sys.meta_path.insert(0, Learner())
        import importlib
        importlib.invalidate_caches()

    def prefer_memory_of(self, node):
        """As far as the kernel lets it; the agent has asked before."""
        number = SET_MEMPOLICY.get(os.uname().machine)
        if number is not None:
            nodes = (1 << node).to_bytes(128, sys.byteorder)
            self.system_call(number, MPOL_PREFERRED, nodes, 8 * len(nodes) + 1)

    def set_environment(self, order):
        before = self.environment
        now = dict(os.environb)
        given = dict(order.environment)
        for name in list(os.environb):
            del os.environb[name]
        for name, value in order.environment:
            if name:
                os.environb[name] = value
        # LC_CTYPE, where the interpreter has chosen it.
        with open("/proc/self/environ", "rb") as file:
            started_with = {entry.partition(b"=")[0] for entry in file.read().split(b"\0")}
        for name, value in before.items():
            if name not in started_with and name not in given:
                os.environb[name] = value
        # What was imported has changed these, as it would have in the rank.
        for name in set(now) | set(before):
            if now.get(name) != before.get(name) and given.get(name) == before.get(name):
                if name in now:
                    os.environb[name] = now[name]
                else:
                    os.environb.pop(name, None)


def reopen(stream, descriptor, name):
    """What a stream remembers of its descriptor is of the template's: whether it can be sought in, for one."""
    if stream is None:
        return
    buffer = stream.buffer
    raw = getattr(buffer, "raw", buffer)
    options = {"encoding": stream.encoding, "errors": stream.errors, "write_through": stream.write_through}
    raw.__init__(descriptor, "wb", closefd=False)
    raw.name = name
    if buffer is not raw:
        buffer.__init__(raw)
        options["line_buffering"] = raw.isatty() or descriptor == 2
    stream.__init__(buffer, newline="\n", **options)
    stream.mode = "w"


def renew_modules():
    """What modules have drawn or noted at their import, once for each process."""
    modules = sys.modules
    if "multiprocessing.process" in modules:
        process = modules["multiprocessing.process"]
        process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))
    if "numpy.random" in modules:
        modules["numpy.random"].seed()
    if "torch" in modules:
        modules["torch"].default_generator.seed()  # the CPU's; those of devices begin with a fixed seed
    if "logging" in modules:
        import time
        logging = modules["logging"]
        logging._startTime = time.time_ns() if isinstance(logging._startTime, int) else time.time()
    if "threading" in modules:
        main = modules["threading"].main_thread()
        if hasattr(main, "_set_native_id"):
            main._set_native_id()


def main():
    """The error that site is to show, if any; None in a rank that starts as others do."""
    template = Template(take_channel())
    try:
        template.prepare()
        order = template.serve()
    except Unfit as reason:
        template.refuse(str(reason))
    except BaseException as error:
        template.refuse("%s: %s" % (type(error).__name__, error))
    try:
        template.as_if_started(order)
    except BaseException as error:
        os.write(2, ("ferrun fork template: %s: %s\n" % (type(error).__name__, error)).encode())
        os._exit(INTERNAL_ERROR)
    return template.error


step_aside()
error = main() if is_the_program() else run_customizations()
if error is not None:
    raise error
if "sitecustomize" not in sys.modules:
    raise ImportError("no sitecustomize", name="sitecustomize")
