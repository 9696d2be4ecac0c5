#include "device_object.h"

#include <cstring>
#include <deque>
#include <memory>
#include <system_error>
#include <vector>

#include "../device/device.h"
#include "command_buffer.h"
#include "submit.h"

namespace ditkit {

namespace {

// A read or sync under way. The executor thread fills in the fault; all else is the JavaScript thread's.
struct Completion {
  double id = 0;
  napi_ref buffer = nullptr;  // the ArrayBuffer that was read into
  Fault fault;
};

// Owned by the JavaScript objects that point at it: the functions, the command buffer and the completion channel.
struct DeviceObject {
  DeviceObject(int threads, Isa isa, size_t limit) : device(new Device(threads, isa, limit)) {}

  std::unique_ptr<Device> device;
  double* commands = nullptr;
  napi_env env = nullptr;
  napi_threadsafe_function channel = nullptr;
  int owners = 0;
  // Reads and syncs under way, in order; while there are any the process stays alive.
  std::deque<std::unique_ptr<Completion>> waiting;
  bool closed = false;

  // Ends the threads. Nothing reaches the channel afterwards.
  void close() {
    if (closed) return;
    closed = true;
    device->dispose();
    for (const auto& completion : waiting) {
      if (completion->buffer != nullptr) napi_delete_reference(env, completion->buffer);
    }
    waiting.clear();
    napi_release_threadsafe_function(channel, napi_tsfn_abort);
  }
};

void clean_up(void* data) { static_cast<DeviceObject*>(data)->close(); }

void drop_owner(DeviceObject* object) {
  if (--object->owners > 0) return;
  delete object;
}

// One of the device's own functions was collected; when only the channel is left nobody can reach the device.
void finalize_function(napi_env env, void* data, void*) {
  DeviceObject* const object = static_cast<DeviceObject*>(data);
  if (object->owners == 2 && !object->closed) {
    napi_remove_env_cleanup_hook(env, clean_up, object);
    object->close();
  }
  drop_owner(object);
}

void finalize_channel(napi_env, void* data, void*) { drop_owner(static_cast<DeviceObject*>(data)); }

void finalize_commands(napi_env, void* buffer, void*) { CommandBuffers::give_back(static_cast<double*>(buffer)); }

napi_value to_js(napi_env env, const Fault& fault) {
  napi_value list, value;
  napi_create_array(env, &list);
  const double numbers[] = {static_cast<double>(fault.kind), fault.site, fault.index, fault.position, fault.bound};
  for (uint32_t i = 0; i < 5; ++i) {
    napi_create_double(env, numbers[i], &value);
    napi_set_element(env, list, i, value);
  }
  napi_create_string_utf8(env, fault.message.c_str(), fault.message.size(), &value);
  napi_set_element(env, list, 5, value);
  return list;
}

// Delivers the oldest completion. On the JavaScript thread; env is null while the environment is torn down.
void complete(napi_env env, napi_value callback, void* context, void*) {
  DeviceObject* const object = static_cast<DeviceObject*>(context);
  if (env == nullptr || object->closed || object->waiting.empty()) return;
  const std::unique_ptr<Completion> completion = std::move(object->waiting.front());
  object->waiting.pop_front();
  napi_value args[3], receiver;
  napi_get_undefined(env, &receiver);
  napi_create_double(env, completion->id, &args[0]);
  args[1] = args[2] = receiver;
  if (completion->buffer != nullptr) {
    napi_get_reference_value(env, completion->buffer, &args[1]);
    napi_delete_reference(env, completion->buffer);
  }
  if (completion->fault.kind != FaultKind::None) args[2] = to_js(env, completion->fault);
  if (object->waiting.empty()) napi_unref_threadsafe_function(env, object->channel);
  napi_call_function(env, receiver, callback, 3, args, nullptr);
}

double number_of(napi_env env, napi_value value, const char* what) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    throw std::runtime_error(std::string(what) + " must be a number");
  }
  return number;
}

size_t whole_number(double value, const char* what) {
  if (!(value >= 0 && value <= 9007199254740992.0) || value != static_cast<double>(static_cast<uint64_t>(value))) {
    throw std::runtime_error(std::string(what) + " must be a whole number, 0 or more");
  }
  return static_cast<size_t>(value);
}

// A call of one of the device's functions: its arguments, checked for number, and the device.
struct Call {
  static constexpr size_t kMost = 4;
  Call(napi_env env, napi_callback_info info, size_t expected) : env(env) {
    size_t count = kMost;
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, args, nullptr, &data);
    if (count < expected) throw std::runtime_error("too few arguments");
    object = static_cast<DeviceObject*>(data);
    if (object->closed) throw std::runtime_error("the device was disposed");
  }
  double number(size_t i, const char* what) const { return number_of(env, args[i], what); }
  Device& device() const { return *object->device; }

  napi_env env;
  napi_value args[kMost];
  DeviceObject* object;
};

// Copies `bytes` from → to once all earlier work has run, then delivers the completion.
void push_completion(const Call& call, std::unique_ptr<Completion> owned, const char* from, void* to, size_t bytes) {
  Completion* const completion = owned.get();
  const napi_threadsafe_function channel = call.object->channel;
  if (call.object->waiting.empty()) napi_ref_threadsafe_function(call.env, channel);
  call.object->waiting.push_back(std::move(owned));
  call.device().queue().push([from, to, bytes, channel, completion](Executor& executor) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    completion->fault = executor.faults.take();
    napi_call_threadsafe_function(channel, nullptr, napi_tsfn_nonblocking);
  });
}

napi_value js_submit(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 1);
    const double count = call.number(0, "count");
    if (!(count >= 1 && count <= CommandBuffers::kNumbers)) throw std::runtime_error("submit: bad count");
    submit(call.object->commands, static_cast<int64_t>(count), call.device());
    return nullptr;
  });
}

napi_value js_alloc(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 1);
    napi_value handle;
    napi_create_double(env, call.device().alloc(whole_number(call.number(0, "bytes"), "bytes")), &handle);
    return handle;
  });
}

napi_value js_free(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 1);
    call.device().free(call.number(0, "handle"));
    return nullptr;
  });
}

napi_value js_write(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 3);
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, call.args[2], &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array) {
      throw std::runtime_error("write: data must be a Uint8Array");
    }
    if (data == nullptr) length = 0;  // detached
    call.device().write(call.number(0, "handle"), whole_number(call.number(1, "offset"), "offset"), data, length);
    return nullptr;
  });
}

napi_value js_read(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 4);
    const double bytes = call.number(2, "length");
    const char* const from = call.device().span(call.number(0, "handle"), call.number(1, "offset"), bytes, "read");
    auto completion = std::make_unique<Completion>();
    completion->id = call.number(3, "id");
    napi_value buffer;
    void* to = nullptr;
    // JavaScript does not see the buffer before it is complete, so nobody can detach it.
    if (napi_create_arraybuffer(env, static_cast<size_t>(bytes), &to, &buffer) != napi_ok ||
        napi_create_reference(env, buffer, 1, &completion->buffer) != napi_ok) {
      throw std::runtime_error("read: no memory for " + std::to_string(bytes) + " bytes");
    }
    push_completion(call, std::move(completion), from, to, static_cast<size_t>(bytes));
    return nullptr;
  });
}

napi_value js_sync(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 1);
    auto completion = std::make_unique<Completion>();
    completion->id = call.number(0, "id");
    push_completion(call, std::move(completion), nullptr, nullptr, 0);
    return nullptr;
  });
}

napi_value js_program(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 1);
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, call.args[0], &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_float64_array || length > 4096) {
      throw std::runtime_error("program: must be a Float64Array");
    }
    const double* const numbers = static_cast<const double*>(data);
    const int id = call.device().add_program(data ? std::vector<double>(numbers, numbers + length) : std::vector<double>());
    napi_value result;
    napi_create_int32(env, id, &result);
    return result;
  });
}

napi_value js_memory(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 0);
    const Allocator& allocator = call.device().allocator();
    const size_t sizes[] = {allocator.live_bytes(), allocator.peak_bytes(), allocator.cached_bytes(),
                            call.device().workspace_bytes()};
    napi_value list, value;
    napi_create_array_with_length(env, 4, &list);
    for (uint32_t i = 0; i < 4; ++i) {
      napi_create_double(env, static_cast<double>(sizes[i]), &value);
      napi_set_element(env, list, i, value);
    }
    return list;
  });
}

napi_value js_trim(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    Call(env, info, 0).device().trim();
    return nullptr;
  });
}

napi_value js_dispose(napi_env env, napi_callback_info info) {
  return throwing(env, [&]() -> napi_value {
    const Call call(env, info, 0);
    napi_remove_env_cleanup_hook(env, clean_up, call.object);
    call.object->close();
    return nullptr;
  });
}

void check(napi_status status, const char* what) {
  if (status != napi_ok) throw std::runtime_error(std::string("cpu: could not create ") + what);
}

void add_function(napi_env env, napi_value target, const char* name, napi_callback callback, DeviceObject* object) {
  napi_value function;
  check(napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, object, &function), name);
  check(napi_add_finalizer(env, function, object, finalize_function, nullptr, nullptr), name);
  ++object->owners;
  check(napi_set_named_property(env, target, name, function), name);
}

}  // namespace

double number_argument(napi_env env, napi_value value, const char* what) { return number_of(env, value, what); }

napi_value create_device_object(napi_env env, int threads, Isa isa, size_t memory_limit, napi_value callback) {
  // From here on the object belongs to its owners; an allocation that fails in the middle leaves it to the cleanup hook.
  DeviceObject* object = nullptr;
  try {
    object = new DeviceObject(threads, isa, memory_limit);
  } catch (const std::system_error& error) {
    throw std::runtime_error("cpu: could not start " + std::to_string(threads) + " threads (" + error.what() + ")");
  }
  object->env = env;
  napi_value name, result, buffer, numbers;
  napi_create_string_utf8(env, "ditkit cpu", NAPI_AUTO_LENGTH, &name);
  check(napi_create_threadsafe_function(env, callback, nullptr, name, 0, 1, object, finalize_channel, object, complete,
                                        &object->channel),
        "the completion channel");
  ++object->owners;
  napi_unref_threadsafe_function(env, object->channel);
  napi_add_env_cleanup_hook(env, clean_up, object);

  check(napi_create_object(env, &result), "the device object");
  object->commands = CommandBuffers::take();
  check(napi_create_external_arraybuffer(env, object->commands, CommandBuffers::kNumbers * sizeof(double),
                                         finalize_commands, nullptr, &buffer),
        "the command buffer (this runtime allows no external memory)");
  check(napi_create_typedarray(env, napi_float64_array, CommandBuffers::kNumbers, buffer, 0, &numbers), "the commands");
  napi_set_named_property(env, result, "commands", numbers);
  const struct {
    const char* name;
    napi_callback callback;
  } functions[] = {{"submit", js_submit}, {"alloc", js_alloc},   {"free", js_free},       {"write", js_write},
                   {"read", js_read},     {"sync", js_sync},     {"program", js_program}, {"memory", js_memory},
                   {"trim", js_trim},     {"dispose", js_dispose}};
  for (const auto& function : functions) add_function(env, result, function.name, function.callback, object);
  return result;
}

}  // namespace ditkit
