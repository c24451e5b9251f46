-- Argo CD health of PerfFeature, PerfRun and PerfTarget: put it into argocd-cm under
-- resource.customizations.health.perfrun.dev_PerfFeature (and _PerfRun, _PerfTarget).
-- A verdict of an older generation is never read: neither as a pass nor as a failure.
local generation = obj.metadata.generation
local status = obj.status or {}

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "being deleted" }
end
if status.observedGeneration == nil or status.observedGeneration ~= generation then
  return { status = "Progressing", message = "waiting for perfrun to look at this generation" }
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.observedGeneration == nil or condition.observedGeneration == generation then
    conditions[condition.type] = condition
  end
end

local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
local function message_of(name)
  local condition = conditions[name]
  return condition ~= nil and condition.message or status.message or ""
end

if is_true("Stalled") then
  return { status = "Degraded", message = message_of("Stalled") }
end
if is_true("Reconciling") then
  return { status = "Progressing", message = message_of("Reconciling") }
end
if is_true("Ready") then
  return { status = "Healthy", message = message_of("Ready") }
end
if obj.spec ~= nil and obj.spec.suspend then
  return { status = "Suspended", message = "suspended, without a verdict that counts" }
end
return { status = "Progressing", message = message_of("Ready") }
