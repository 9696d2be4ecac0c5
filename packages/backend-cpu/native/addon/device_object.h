// A device as JavaScript holds it: an object of functions over one shared command buffer.
#pragma once

#include <node_api.h>

#include <exception>
#include <stdexcept>
#include <string>

#include "../isa.h"

namespace ditkit {

// Runs f; an exception becomes a JavaScript Error and null is returned.
template <class F>
napi_value throwing(napi_env env, F&& f) {
  try {
    return f();
  } catch (const std::exception& error) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw_error(env, nullptr, error.what());
    return nullptr;
  }
}

double number_argument(napi_env env, napi_value value, const char* what);

// { commands: Float64Array, submit(count), alloc(bytes), free(handle), write(handle, offset, bytes: Uint8Array),
//   read(handle, offset, length, id), sync(id), program(numbers: Float64Array), memory(), trim(), dispose() }
// `complete(id, buffer | undefined, fault | undefined)` is called for each read and sync, in order; a fault is
// [kind, site, index, position, bound, message].
napi_value create_device_object(napi_env env, int threads, Isa isa, size_t memory_limit, napi_value complete);

}  // namespace ditkit
