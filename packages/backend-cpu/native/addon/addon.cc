// The N-API module: `createDevice(threads, isa, memoryLimit, complete)`, `describe()`, `fmaPeak(threads, isa)` and
// `bf16Instruction(isa)`. Whatever JavaScript passes, a call either does what it says or throws a JavaScript Error.
#include <node_api.h>

#include <exception>
#include <string>

#include "../fma_peak.h"
#include "../gemm/gemm.h"
#include "../isa.h"
#include "device_object.h"

namespace ditkit {

namespace {

constexpr int kMaxThreads = 256;

// The set called `name` if this machine has it.
Isa isa_by_name(const std::string& name) {
  for (Isa isa : kIsas) {
    if (isa <= detect_isa() && name == isa_name(isa)) return isa;
  }
  throw std::runtime_error("cpu: this machine has no instruction set '" + name + "' (the best it has is " +
                           isa_name(detect_isa()) + ")");
}

// The first two arguments of `createDevice` and `fmaPeak`.
int threads_argument(napi_env env, napi_value value) {
  const double threads = number_argument(env, value, "threads");
  if (!(threads >= 1 && threads <= kMaxThreads)) {
    throw std::runtime_error("cpu: threads must be from 1 to " + std::to_string(kMaxThreads));
  }
  return static_cast<int>(threads);
}

Isa isa_argument(napi_env env, napi_value value) {
  char name[16] = "";
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, name, sizeof name, &length) != napi_ok) {
    throw std::runtime_error("cpu: isa must be a string");
  }
  return isa_by_name(name);
}

napi_value create_device(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value args[4];  // undefined where fewer are given
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  return throwing(env, [&]() -> napi_value {
    const int threads = threads_argument(env, args[0]);
    const Isa isa = isa_argument(env, args[1]);
    const double limit = count > 2 ? number_argument(env, args[2], "memoryLimit") : 0;
    if (!(limit >= 0 && limit <= 1e18)) throw std::runtime_error("cpu: memoryLimit must be a number of bytes");
    napi_valuetype type = napi_undefined;
    if (count > 3) napi_typeof(env, args[3], &type);
    if (type != napi_function) throw std::runtime_error("cpu: complete must be a function");
    return create_device_object(env, threads, isa, static_cast<size_t>(limit), args[3]);
  });
}

// GFLOP/s of independent multiply-add chains. Blocks for about 40 ms.
napi_value fma_peak_of(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  return throwing(env, [&]() -> napi_value {
    const int threads = threads_argument(env, args[0]);
    const Isa isa = isa_argument(env, args[1]);
    ThreadPool pool(threads);
    napi_value result;
    napi_create_double(env, fma_peak(pool, isa, 40), &result);
    return result;
  });
}

// Names of the instruction sets this machine has, best last.
napi_value describe(napi_env env, napi_callback_info) {
  napi_value list, name;
  napi_create_array(env, &list);
  uint32_t count = 0;
  for (Isa isa : kIsas) {
    if (isa > detect_isa()) continue;
    napi_create_string_utf8(env, isa_name(isa), NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, count++, name);
  }
  return list;
}

// The instruction that bf16 products take on this machine with an instruction set's kernels; undefined where emulated.
napi_value bf16_instruction_of(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value isa;
  napi_get_cb_info(env, info, &count, &isa, nullptr, nullptr);
  return throwing(env, [&]() -> napi_value {
    const char* instruction = bf16_instruction(isa_argument(env, isa));
    napi_value name;
    napi_get_undefined(env, &name);
    if (instruction) napi_create_string_utf8(env, instruction, NAPI_AUTO_LENGTH, &name);
    return name;
  });
}

}  // namespace

}  // namespace ditkit

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "createDevice", NAPI_AUTO_LENGTH, ditkit::create_device, nullptr, &function);
  napi_set_named_property(env, exports, "createDevice", function);
  napi_create_function(env, "describe", NAPI_AUTO_LENGTH, ditkit::describe, nullptr, &function);
  napi_set_named_property(env, exports, "describe", function);
  napi_create_function(env, "fmaPeak", NAPI_AUTO_LENGTH, ditkit::fma_peak_of, nullptr, &function);
  napi_set_named_property(env, exports, "fmaPeak", function);
  napi_create_function(env, "bf16Instruction", NAPI_AUTO_LENGTH, ditkit::bf16_instruction_of, nullptr, &function);
  napi_set_named_property(env, exports, "bf16Instruction", function);
  return exports;
}
