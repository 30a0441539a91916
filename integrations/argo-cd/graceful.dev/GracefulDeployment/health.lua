-- Health of a GracefulDeployment, from the conditions that its operator writes. Uses Lua's base library alone:
-- Argo CD opens no other for scripts of its ConfigMap.
local function condition(kind)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, one in ipairs(obj.status.conditions) do
      if one.type == kind then
        return one
      end
    end
  end
  return nil
end

local function health(status, message)
  return {status = status, message = message}
end

-- The conditions speak of an older spec until its generation was observed.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The operator has not seen this spec yet")
end

local stalled = condition("Stalled")
if stalled ~= nil and stalled.status == "True" then
  return health("Degraded", stalled.message)
end

local ready = condition("Ready")
if ready == nil then
  return health("Progressing", "The operator has not judged the pods yet")
end

-- As for a Deployment: whoever paused it has to resume it.
if obj.spec.paused == true then
  return health("Suspended", ready.message)
end

if ready.status == "True" then
  return health("Healthy", ready.message)
end
return health("Progressing", ready.message)
